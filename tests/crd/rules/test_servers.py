"""What a server as a whole promises: its way in, its names, its limits and its size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crd import ways_in
from crd.facts import Claim, MemberFact, ServerFact, Space
from crd.finding import Level
from crd.published import catalogs
from crd.ref import Kind, Ref
from crd.rules import servers
from crd.selector import Selector
from crd.snapshot import Snapshot
from crd.suggestions import MAX_NAMES
from crd.ways_in import WaysIn
from tests.crd.rules.documents import SERVICE, broken, findings_of, prompt, resource, server, tool

MAIN = Ref(Kind.SERVER, "shop", "main")


def fact(name: str = "main", **fields: Any) -> ServerFact:
    return ServerFact(Ref(Kind.SERVER, "shop", name), Selector(select_all=True), **fields)


def member(name: str = "a", space: Space = Space.TOOL_NAME, **fields: Any) -> MemberFact:
    kinds = {Space.TOOL_NAME: Kind.TOOL, Space.PROMPT_NAME: Kind.PROMPT, Space.URI: Kind.RESOURCE}
    claims = fields.pop("claims", (Claim(space, name),))
    return MemberFact(Ref(kinds[space], "shop", name[:20]), {}, "", "", claims, (), **fields)


PUBLIC = (
    "warning PublicWithoutAuth: spec.auth: anyone who can reach a.example.com can use the "
    "server; set spec.auth or remove spec.ingress"
)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"ingress": {"host": "a.example.com"}}, [PUBLIC]),
        ({"ingress": {"host": "a.example.com"}, "auth": {}}, [PUBLIC]),
        (
            {"ingress": {"host": "a.example.com"}, "auth": {"type": "APIKey", "apiKey": {"secretName": "k"}}},
            [],
        ),
        ({}, []),
        ({"auth": {"type": "None"}}, []),
    ],
)
def test_a_server_that_asks_nobody_who_they_are(spec: dict[str, Any], expected: list[str]) -> None:
    assert findings_of(servers.public_without_auth(server(**spec))) == expected


def test_a_tool_is_reached_through_servers_alone() -> None:
    assert findings_of(servers.public_without_auth(tool())) == []


def long(name: str) -> str:
    return (
        f'warning LongName: spec.name: "{name}" has {len(name)} characters; many clients reject '
        "names over 64; shorten it"
    )


def test_a_name_that_some_clients_cut() -> None:
    assert findings_of(servers.long_names(tool(name="n" * 65))) == [long("n" * 65)]
    assert findings_of(servers.long_names(prompt(name="n" * 128))) == [long("n" * 128)]
    assert findings_of(servers.long_names(tool("m" * 65))) == [long("m" * 65)]
    for item in (
        tool(name="n" * 64),
        tool(name="n" * 65, enabled=False),
        resource(name="n" * 65, content={"uri": f"urn:{'a' * 80}", "text": ""}),
        tool(ingressPath="/" + "a" * 80),
        broken("MCPTool", {}, "n" * 65),
        server(),
    ):
        assert findings_of(servers.long_names(item)) == []


def prefixed(prefix: str, name: str, space: Space = Space.TOOL_NAME) -> list[str]:
    return findings_of(servers.prefixed_names(fact(prefix=prefix), member(name, space)))


def test_a_name_that_is_too_long_with_its_prefix() -> None:
    repair = 'shorten it or the prefix "shop_" of MCPServer shop/main'
    for space in (Space.TOOL_NAME, Space.PROMPT_NAME):
        assert prefixed("shop_", "n" * 124, space) == [
            f'error InvalidName: spec.name: "shop_{"n" * 124}" must have at most 128 characters, got 129; {repair}'
        ]
        assert prefixed("shop_", "n" * 60, space) == [
            (
                f'warning LongName: spec.name: "shop_{"n" * 60}" has 65 characters; many clients reject '
                f"names over 64; {repair}"
            )
        ]
        assert prefixed("shop_", "n" * 64, space) == [
            (
                f'warning LongName: spec.name: "shop_{"n" * 64}" has 69 characters; many clients reject '
                f"names over 64; {repair}"
            )
        ]
        assert prefixed("shop_", "n" * 59, space) == []
        # A name that is too long without a prefix is reported once, on its own object.
        assert prefixed("shop_", "n" * 65, space) == []
        assert prefixed("shop_", "n" * 123, space) == []
        assert prefixed("", "n" * 129, space) == []
    assert prefixed("shop_", "n" * 200, Space.URI) == []


def test_a_prefixed_name_belongs_to_a_member_and_a_server() -> None:
    (finding,) = servers.prefixed_names(fact(prefix="p"), member("n" * 128))
    assert (finding.ref.name, finding.subject, finding.related) == ("n" * 20, ("shop/main",), (MAIN,))


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (0.0, []),
        (30.0, []),
        (
            30.5,
            [
                (
                    "warning LongTimeout: spec.timeout: 30.5 s exceeds spec.config.requestTimeout of "
                    "MCPServer shop/main (30 s), which ends the call first; shorten it or raise "
                    "requestTimeout"
                )
            ],
        ),
    ],
)
def test_a_timeout_that_ends_before(timeout: float, expected: list[str]) -> None:
    assert findings_of(servers.long_timeouts(fact(), member(timeout=timeout))) == expected


def test_a_scope_that_the_issuer_does_not_give() -> None:
    some = fact(has_tokens=True, scopes=frozenset({"orders.read"}))

    assert findings_of(servers.unreachable_scopes(some, member(scopes=("orders.read",)))) == []
    assert findings_of(servers.unreachable_scopes(some, member())) == []
    assert findings_of(servers.unreachable_scopes(some, member(scopes=("orders.read", "a", "b")))) == [
        (
            "warning UnreachableScopes: spec.requiredScopes: the tokens of MCPServer shop/main never have the scope "
            '"a", "b", so it shows nobody this object; add the scope to spec.auth.jwt.scopesSupported of the server or '
            "remove it"
        )
    ]


def test_claims_that_no_token_has() -> None:
    sends = member(token_claims=("sub", "email", "tenant"))
    known = fact(has_tokens=True, token_claims=frozenset({"sub", "email"}))

    assert findings_of(servers.unavailable_claims(fact(), member())) == []
    assert findings_of(servers.unavailable_claims(fact(has_tokens=True), sends)) == []
    assert findings_of(servers.unavailable_claims(known, member(token_claims=("email",)))) == []
    assert findings_of(servers.unavailable_claims(fact(), sends)) == [
        (
            "warning UnavailableClaim: spec.http: the clients of MCPServer shop/main have no tokens, so calls that "
            'send the claim "sub", "email", "tenant" fail; set spec.auth.type of the server to JWT or remove the claim'
        )
    ]
    assert findings_of(servers.unavailable_claims(known, sends)) == [
        (
            "warning UnavailableClaim: spec.http: the tokens of MCPServer shop/main never have the claim "
            '"tenant", so '
            "calls that send it fail; add the claim to spec.auth.jwt.claimsSupported of the server or remove it"
        )
    ]
    (many,) = findings_of(servers.unavailable_claims(known, member(token_claims=tuple("abcdefg"))))
    assert '"e" and 2 more, so' in many


JWT = {"issuer": "https://i", "audiences": ["a"], "jwksURL": "https://k"}


def with_tokens(**jwt: Any) -> Any:
    return server(auth={"type": "JWT", "jwt": {**JWT, **jwt}})


@pytest.mark.parametrize(
    ("jwt", "expected"),
    [
        ({}, []),
        ({"requiredScopes": ["x"], "userClaim": "email"}, []),
        ({"requiredScopes": ["x"], "scopesSupported": ["x", "y"]}, []),
        ({"userClaim": "client_id", "claimsSupported": ["tenant"]}, []),
        (
            {"requiredScopes": ["x", "z"], "scopesSupported": ["x", "y"]},
            [
                (
                    'warning UnreachableScopes: spec.auth.jwt.requiredScopes: no token has the scope "z", so every '
                    "client is refused; add it to scopesSupported or remove it"
                )
            ],
        ),
        (
            {"userClaim": "email", "claimsSupported": ["tenant"]},
            [
                (
                    'warning UnavailableClaim: spec.auth.jwt.userClaim: no token has the claim "email", so every '
                    "client is refused; add it to claimsSupported or name another claim"
                )
            ],
        ),
    ],
)
def test_a_server_that_refuses_every_token(jwt: dict[str, Any], expected: list[str]) -> None:
    assert findings_of(servers.unusable_tokens(with_tokens(**jwt))) == expected
    assert findings_of(servers.unusable_tokens(tool())) == []


def test_what_the_tokens_of_a_server_have_is_a_fact() -> None:
    plain, told = with_tokens().fact, with_tokens(scopesSupported=["x"], claimsSupported=["email"]).fact

    assert (plain.has_tokens, plain.scopes, plain.token_claims) == (True, None, None)
    assert (told.has_tokens, told.scopes) == (True, {"x"})
    assert {"sub", "email"} <= told.token_claims
    assert server().fact.has_tokens is False
    mapped = tool(
        method="POST",
        http={
            "query": [{"name": "a", "claim": "email"}, {"name": "b", "value": "v"}],
            "headers": [{"name": "X-B", "claim": "tenant"}],
            "body": {"mode": "Fields", "fields": [{"name": "c", "claim": "email"}, {"name": "d", "claim": "sub"}]},
        },
    )
    assert mapped.fact.token_claims == ("email", "tenant", "sub")


def test_scopes_that_no_client_has() -> None:
    wanted = member(scopes=("orders.refund",))

    assert findings_of(servers.unreachable_scopes(fact(), wanted)) == [
        (
            "warning UnreachableScopes: spec.requiredScopes: the clients of MCPServer shop/main have no tokens and so "
            "no scopes, so it shows them nothing of this object; set spec.auth.type of the server to JWT or remove "
            "requiredScopes"
        )
    ]
    assert findings_of(servers.unreachable_scopes(fact(has_tokens=True), wanted)) == []
    assert findings_of(servers.unreachable_scopes(fact(), member())) == []


def test_networks_of_proxies_are_cidr_blocks() -> None:
    blocks = ["10.0.0.0/8", "10.1.2.3/8", "fd00::/8", "10.0.0.0/33", "300.0.0.0/8", "::/129"]

    assert findings_of(servers.trusted_proxies(server(config={"trustedProxies": blocks}))) == [
        f"error InvalidField: spec.config.trustedProxies[{index}]: must be a CIDR block such as 10.0.0.0/8, got "
        f'"{blocks[index]}"; correct it'
        for index in (3, 4, 5)
    ]
    assert findings_of(servers.trusted_proxies(tool())) == []


@pytest.mark.parametrize(("names", "is_suggested"), [(MAX_NAMES, True), (MAX_NAMES + 1, False)])
def test_names_are_suggested_unless_there_are_too_many(names: int, is_suggested: bool) -> None:
    members = [member(f"tool_{number}") for number in range(names)]

    (line,) = unmatched(("tol_0",), "", *members)

    assert ("did you mean" in line) is is_suggested


def unmatched(limited: tuple[str, ...], prefix: str = "", *members: MemberFact) -> list[str]:
    wanted = fact(limited=limited, prefix=prefix)
    return findings_of(servers.unmatched_limits(Snapshot.of([wanted, *members]), wanted))


@pytest.mark.parametrize(
    ("limited", "prefix", "expected"),
    [
        (("search",), "", []),
        (("x_search",), "x_", []),
        (
            ("serch",),
            "",
            ['serch: MCPServer shop/main serves no tool "serch", so the limit has no effect; did you mean "search"?'],
        ),
        (
            ("search", "zzz"),
            "",
            [
                (
                    'zzz: MCPServer shop/main serves no tool "zzz", so the limit has no effect; correct the '
                    "name or remove the limit"
                )
            ],
        ),
        (
            ("search",),
            "x_",
            [
                (
                    'search: MCPServer shop/main serves no tool "search", so the limit has no effect; did you mean '
                    '"x_search"?'
                )
            ],
        ),
        (
            ("report",),
            "",
            [
                (
                    'report: MCPServer shop/main serves no tool "report", so the limit has no effect; '
                    "correct the name or remove the limit"
                )
            ],
        ),
    ],
)
def test_a_limit_of_a_tool_that_is_not_served(limited: tuple[str, ...], prefix: str, expected: list[str]) -> None:
    there = (member("search"), member("report", Space.PROMPT_NAME))
    assert unmatched(limited, prefix, *there) == [
        f"warning PolicyMatchesNothing: spec.rateLimits.tools.{line}" for line in expected
    ]


METADATA = "/.well-known/oauth-protected-resource"


def at(host: str, prefix: str, resource: str | None = None) -> WaysIn:
    """The ways in of a server at a path, whose resource has another path if that is given."""
    return WaysIn(host, prefix, ways_in.metadata_path(resource and f"https://x{resource}", prefix))


WAYS_IN = at("a.example.com", "/mcp")
TAKEN = (
    "error IngressTaken: spec.ingress.host: MCPServer shop/{0} already serves "
    "a.example.com/mcp; change spec.ingress.host or spec.ingress.pathPrefix"
)


def find_taken(wanted: ServerFact, *others: ServerFact, blame_always: bool = False) -> list[str]:
    snapshot = Snapshot.of([wanted, *others])
    return findings_of(servers.ingress_taken(snapshot, wanted, blame_always=blame_always))


def test_an_ingress_belongs_to_the_eldest() -> None:
    elder, younger = (
        fact("z", ways_in=WAYS_IN, created="2026-01-01T00:00:00Z"),
        fact("a", ways_in=WAYS_IN, created="2026-02-01"),
    )
    eldest = fact("m", ways_in=WAYS_IN, created="2025-01-01T00:00:00Z")
    assert find_taken(younger, elder) == [TAKEN.format("z")]
    assert find_taken(elder, younger) == []
    assert find_taken(elder, younger, blame_always=True) == [TAKEN.format("a")]
    assert find_taken(younger, elder, eldest) == [TAKEN.format("m")]
    assert find_taken(fact("b", ways_in=WAYS_IN), fact("a", ways_in=WAYS_IN)) == [TAKEN.format("a")]
    assert find_taken(fact("a", ways_in=WAYS_IN), fact("b", ways_in=WAYS_IN)) == []


FREE = [None, at("a.example.com", "/other"), at("b.example.com", "/mcp"), at("a.example.com", "/mcp/b")]


@pytest.mark.parametrize("other", FREE)
def test_another_way_in_is_free(other: WaysIn | None) -> None:
    assert find_taken(fact("b", ways_in=other), fact("a", ways_in=WAYS_IN), blame_always=True) == []
    assert find_taken(fact("b", ways_in=WAYS_IN), fact("a", ways_in=other), blame_always=True) == []


def test_an_ingress_of_another_namespace_is_taken_too_and_its_server_is_not_named() -> None:
    abroad = replace(fact(ways_in=WAYS_IN), ref=Ref(Kind.SERVER, "abroad", "main"))
    assert find_taken(fact("a", ways_in=WAYS_IN), abroad) == [
        TAKEN.replace("MCPServer shop/{0}", "an MCPServer of another namespace").replace(
            "/mcp;", "/mcp, or a path above or below it;"
        )
    ]
    (finding,) = servers.ingress_taken(Snapshot.of([abroad]), fact("a", ways_in=WAYS_IN), blame_always=True)
    assert (finding.subject, finding.related) == (("a.example.com/mcp",), (abroad.ref,))


@pytest.mark.parametrize(
    ("mine", "theirs", "where"),
    [
        (at("a.example.com", "/a/b"), at("a.example.com", "/a"), "/a/b"),
        (at("a.example.com", "/a"), at("a.example.com", "/a/b/c"), "/a"),
        (at("a.example.com", "/a"), at("a.example.com", "/ab"), None),
        (at("a.example.com", "/a/b"), at("a.example.com", "/a/c"), None),
        (at("a.example.com", "/a/b"), at("b.example.com", "/a"), None),
        # A wildcard covers one label.
        (at("a.example.com", "/a"), at("*.example.com", "/a/b"), "/a"),
        (at("*.example.com", "/a/b"), at("a.example.com", "/a"), "/a/b"),
        (at("*.example.com", "/a"), at("*.example.com", "/a"), "/a"),
        (at("x.a.example.com", "/a"), at("*.example.com", "/a"), None),
        (at("*.a.example.com", "/a"), at("*.example.com", "/a"), None),
        # Whoever answers for the metadata decides whom clients ask for tokens.
        (at("a.example.com", "/x", "/mcp"), at("a.example.com", "/mcp", "/mcp"), METADATA),
        (at("a.example.com", "/.well-known"), at("a.example.com", "/mcp", "/mcp"), "/.well-known"),
        (at("a.example.com", "/x", "/mcp"), at("a.example.com", "/.well-known"), METADATA),
        (at("a.example.com", "/x", "/x"), at("a.example.com", "/y", "/y"), None),
        (at("a.example.com", "/x", "/"), at("a.example.com", "/y", "/y"), None),
    ],
)
def test_of_another_namespace_no_path_is_above_or_below(mine: WaysIn, theirs: WaysIn, where: str | None) -> None:
    abroad = replace(fact(ways_in=theirs), ref=Ref(Kind.SERVER, "abroad", "main"))
    found = find_taken(fact("a", ways_in=mine), abroad, blame_always=True)

    if where is None:
        assert found == []
    else:
        (line,) = found
        assert f"another namespace already serves {mine.host}{where}" in line
    assert bool(found) == bool(ways_in.overlap(theirs, mine)), "it is the same for both"
    near = fact("b", ways_in=theirs)
    assert bool(find_taken(fact("a", ways_in=mine), near, blame_always=True)) == (mine == theirs)


LIMIT = 900 * 1024
LARGE = (
    "CatalogTooLarge: the catalog of MCPServer shop/main is {0} KiB (limit 900 KiB); "
    "select fewer objects or shorten schemas and texts"
)


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (0, None),
        (720 * 1024, None),
        (720 * 1024 + 1, (Level.WARNING, 720)),
        (LIMIT, (Level.WARNING, 900)),
        (LIMIT + 1, (Level.ERROR, 900)),
        (2 * LIMIT + 1023, (Level.ERROR, 1800)),
    ],
)
def test_the_size_of_a_catalog(weight: int, expected: tuple[Level, int] | None) -> None:
    assert catalogs.LIMIT == LIMIT
    snapshot = Snapshot.of([fact(), member("a", weight=weight - weight // 2), member("b", weight=weight // 2)])
    found = list(servers.catalog_size(snapshot, fact()))
    assert findings_of(found) == ([f"{expected[0]} {LARGE.format(expected[1])}"] if expected else [])
    assert all((f.ref, f.subject, f.related) == (MAIN, ("shop/main",), (MAIN,)) for f in found)


def test_a_service_is_no_way_in() -> None:
    assert findings_of(servers.public_without_auth(resource(uri="urn:a", http={}, service=SERVICE))) == []
