"""What one server serves, it serves under distinct names, URIs and doors."""

from __future__ import annotations

from typing import Any

import pytest

from crd.facts import Claim, MemberFact, ServerFact, Space
from crd.finding import Level
from crd.ref import Kind, Ref
from crd.rules import names
from crd.selector import Selector
from crd.snapshot import Snapshot
from tests.crd.rules.documents import findings_of, operations, prompt, resource, server, tool

MAIN = Ref(Kind.SERVER, "shop", "main")


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        pytest.param(tool(ingressPath="/a"), [], id="a tool has one name and one door"),
        pytest.param(prompt(ingressPath="/a"), [], id="a prompt too"),
        pytest.param(resource(content={"uri": "urn:a", "text": ""}), [], id="content has one URI"),
        pytest.param(server(), [], id="a server has nothing"),
        pytest.param(operations({"method": "GET"}, {"method": "PUT"}), [], id="two methods of one path"),
        pytest.param(
            operations({"method": "PUT"}, {"method": "PUT"}),
            [
                (
                    "error DuplicateIngressPath: spec.operations[1].ingressPath: "
                    'spec.operations[0].ingressPath already serves "PUT /a"; change '
                    "spec.operations[1].ingressPath or remove the operation"
                )
            ],
            id="one method of one path",
        ),
        pytest.param(
            operations({}, {"ingressPath": "/b", "uriTemplate": "mcp://a/a"}, {"ingressPath": "/c"}),
            [
                (
                    "error DuplicateURI: spec.operations[1].uriTemplate: spec.operations[0].uriTemplate "
                    'already serves "mcp://a/a"; change spec.operations[1].uriTemplate or remove the '
                    "operation"
                )
            ],
            id="a URI that another operation has by default",
        ),
        pytest.param(
            operations({"method": "POST"}, {"ingressPath": "/b"}, {"method": "POST"}, {"method": "POST"}),
            [
                (
                    f"error DuplicateIngressPath: spec.operations[{n}].ingressPath: "
                    f'spec.operations[0].ingressPath already serves "POST /a"; change spec.operations[{n}'
                    "].ingressPath or remove the operation"
                )
                for n in (2, 3)
            ],
            id="three times: both later ones are reported",
        ),
    ],
)
def test_one_object_serves_nothing_twice(item: Any, expected: list[str]) -> None:
    assert findings_of(names.repeated(item)) == expected


SEARCH = Claim(Space.TOOL_NAME, "search")


def member(
    name: str, claim: Claim = SEARCH, created: str = "", place: tuple[str, ...] = ("spec", "name")
) -> MemberFact:
    kind = Kind.PROMPT if claim.space is Space.PROMPT_NAME else Kind.TOOL
    return MemberFact(Ref(kind, "shop", name), {}, f"uid-{name}", created, (claim,), (), (place,))


def duplicates(*members: MemberFact, claim: Claim = SEARCH, prefer_incumbent: bool = False) -> list[Any]:
    main = ServerFact(MAIN, Selector(select_all=True), prefer_incumbent=prefer_incumbent)
    return list(names.duplicates(Snapshot.of([main, *members]), MAIN, claim))


def test_one_holder_is_no_clash() -> None:
    assert duplicates() == []
    assert duplicates(member("a")) == []
    assert duplicates(member("a"), member("b", Claim(Space.TOOL_NAME, "find"))) == []
    assert duplicates(member("a"), member("b", Claim(Space.PROMPT_NAME, "search"))) == []


@pytest.mark.parametrize(
    ("space", "reason"),
    [
        (Space.TOOL_NAME, "DuplicateName"),
        (Space.PROMPT_NAME, "DuplicateName"),
        (Space.URI, "DuplicateURI"),
        (Space.REST_PATH, "DuplicateIngressPath"),
    ],
)
def test_two_holders_of_one_claim(space: Space, reason: str) -> None:
    claim = Claim(space, "x")
    a, b = member("a", claim), member("b", claim, place=("spec", "ingressPath"))
    (finding,) = duplicates(a, b, claim=claim)
    assert str(finding) == (
        f'{reason}: spec.ingressPath: {a.ref} already serves "x" on MCPServer shop/main; change spec.ingressPath or '
        "the labels of one of them"
    )
    assert (finding.ref, finding.related, finding.level) == (b.ref, (a.ref, MAIN), Level.ERROR)
    assert finding.subject == ("shop/main", space.value, "x")


def test_the_eldest_holds_a_claim_and_every_other_one_is_reported() -> None:
    third, first, second = (
        member("a", created="2026-03-01T00:00:00Z"),
        member("b", created="2026-01-01T00:00:00Z"),
        member("c", created="2026-02-01T00:00:00Z"),
    )
    unstored = member("0")
    found = duplicates(third, first, second, unstored)
    assert [finding.ref.name for finding in found] == ["0", "a", "c"]
    assert {finding.related[0].name for finding in found} == {"b"}


def test_a_server_that_prefers_the_incumbent_only_warns() -> None:
    found = duplicates(member("a"), member("b"), member("c"), prefer_incumbent=True)
    assert [(finding.ref.name, finding.level) for finding in found] == [("b", Level.WARNING), ("c", Level.WARNING)]


def test_a_server_that_is_not_there_serves_nothing() -> None:
    assert list(names.duplicates(Snapshot.of([member("a"), member("b")]), MAIN, SEARCH)) == []


def test_a_clash_may_name_another_field_as_its_cause() -> None:
    finding = names.clash(member("b"), member("a").ref, MAIN, SEARCH, ("metadata", "labels"))
    assert finding.field_path == "metadata.labels"
    assert "; change spec.name or the labels of one of them" in finding.message
    assert finding.level is Level.ERROR
