"""Authentication by API key and by token, rotation of keys, and the challenge to a denied client."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from certs import issuance
from certs.tls import HotContext
from cluster.message import Request
from crd.published.policy import Bucket
from crd.published.settings import Auth, Jwt, Limits
from runtime import mounted_files
from runtime.auth import attempts, authenticator, jwks, oauth_metadata, tokens
from runtime.auth.authenticator import Authenticator
from runtime.auth.jwks import KeySets, KeysUnavailableError
from runtime.auth.oauth_metadata import DeniedError
from tests.runtime.http.test_server import list_request
from tests.runtime.raw_http import INITIALIZE, modern, rpc, send

NOW = 1_800_000_000
ISSUER = "https://issuer.example.com"
RSA = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
FETCHER = jwks.Fetcher(cluster_domain="cluster.local", allow_http=True, allow_loopback=True)
WANTED = Jwt(ISSUER, ("shop", "store"), jwks_secret="issuer", required_scopes=("read", "write"))


def public(key: Any, kid: str | None, algorithm: str = "RS256", **more: Any) -> dict[str, Any]:
    found = jwt.algorithms.get_default_algorithms()[algorithm].to_jwk(key.public_key(), as_dict=True)
    return {**found, **({"kid": kid} if kid else {}), **more}


KEYS = (
    public(RSA, "rsa"),
    public(EC, "ec", "ES256", alg="ES256"),
    public(ED, "ed", "EdDSA"),
    public(OTHER, "enc", use="enc"),
    {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
)


def token(key: Any = RSA, kid: str | None = "rsa", algorithm: str = "RS256", typ: Any = "JWT", **claims: Any) -> str:
    said = {"iss": ISSUER, "aud": "shop", "exp": NOW + 60, "sub": "ada", "scope": "read write", **claims}
    given = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(given, key, algorithm, headers={"typ": typ, **({"kid": kid} if kid else {})})


def unsigned(**header: Any) -> str:
    signed = token().split(".")
    head = jwt.utils.base64url_encode(json.dumps({"alg": "none", **header}).encode()).decode()
    return f"{head}.{signed[1]}.{signed[2]}"


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(token(), id="RSA"),
        pytest.param(token(algorithm="PS384"), id="RSA-PSS"),
        pytest.param(token(EC, "ec", "ES256"), id="EC"),
        pytest.param(token(ED, "ed", "EdDSA"), id="Ed25519"),
        pytest.param(token(kid=None), id="without kid"),
        pytest.param(token(aud=["other", "store"]), id="one of several audiences"),
        pytest.param(token(exp=NOW - 29), id="expired within the leeway"),
        pytest.param(token(nbf=NOW + 29), id="valid within the leeway"),
        pytest.param(token(iat=NOW + 9999), id="issued in the future"),
        pytest.param(token(typ=None), id="without typ"),
        pytest.param(token(typ="at+jwt"), id="an access token"),
        pytest.param(token(typ="application/AT+JWT"), id="an access token by its media type"),
    ],
)
def test_a_valid_token_is_accepted(given: str) -> None:
    assert tokens.verify(given, KEYS, WANTED, NOW)["sub"] == "ada"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param("x.y", "not a JWT", id="not a token"),
        pytest.param(token(OTHER), "signature", id="the signature of another key"),
        pytest.param(token(EC, "rsa", "ES256"), "no key of the issuer matches", id="a key of another type"),
        pytest.param(token(OTHER, "enc"), "no key of the issuer matches", id="a key for encryption"),
        pytest.param(token(kid="new"), "no key of the issuer matches", id="an unknown key"),
        pytest.param(token(kid="broken"), "InvalidKeyError", id="a broken key"),
        pytest.param(token("secret" * 9, "rsa", "HS256"), "algorithm", id="a shared secret"),
        pytest.param(unsigned(), "algorithm", id="no signature"),
        pytest.param(unsigned(alg="RS256", kid="rsa"), "signature", id="a modified header"),
        pytest.param(token(iss="https://other.example.com"), "InvalidIssuer", id="another issuer"),
        pytest.param(token(aud="other"), "InvalidAudience", id="another audience"),
        pytest.param(token(aud=None), "MissingRequiredClaim", id="no audience"),
        pytest.param(token(exp=None), "MissingRequiredClaim", id="no exp"),
        pytest.param(token(exp=NOW - 30), "expired", id="expired"),
        pytest.param(token(exp=float("nan")), "expired", id="an exp that is not a number"),
        pytest.param(token(exp="soon"), "expired", id="an exp that is a string"),
        pytest.param(token(exp=True), "expired", id="an exp that is a boolean"),
        pytest.param(token(nbf=NOW + 31), "not valid yet", id="not valid yet"),
        pytest.param(token(nbf="x"), "not valid yet", id="an nbf that is a string"),
        pytest.param(token(typ="logout+jwt"), "typ must be", id="a logout token"),
        pytest.param(token(typ="dpop+jwt"), "typ must be", id="a proof of possession"),
    ],
)
def test_any_other_token_is_rejected(given: str, message: str) -> None:
    with pytest.raises(tokens.TokenError, match=message) as caught:
        tokens.verify(given, KEYS, WANTED, NOW)

    assert given not in str(caught.value)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"scope": "a b"}, {"a", "b"}),
        ({"scp": ["a", 7]}, {"a"}),
        ({"scp": "a"}, {"a"}),
        ({"scope": 7}, set()),
    ],
)
def test_scopes_are_read_in_every_form_that_issuers_use(claims: Any, expected: set[str]) -> None:
    assert tokens.scopes(claims) == expected


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": 7}'])
def test_an_invalid_key_set_is_rejected(body: bytes) -> None:
    with pytest.raises(tokens.InvalidKeysError):
        tokens.key_set(body)


class Issuer:
    """The keys of an issuer, without HTTP."""

    def __init__(self, *keys: Any) -> None:
        self.keys: tuple[Any, ...] | None = keys
        self.asked = 0
        self.now = 0.0
        self.sets = KeySets(self._fetch, lambda: self.now)

    async def _fetch(self, url: str) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if self.keys is None:
            raise KeysUnavailableError("answered 500")
        return json.dumps({"keys": self.keys}).encode()

    async def kids(self, *, unknown: bool = False) -> list[str]:
        return [key["kid"] for key in await self.sets.keys("u", unknown=unknown)]


async def test_concurrent_callers_share_one_fetch_and_keys_are_cached() -> None:
    issuer = Issuer({"kid": "a"})

    assert await asyncio.gather(*(issuer.kids() for _ in range(9))) == [["a"]] * 9
    issuer.now = jwks.MAX_AGE - 1
    await issuer.kids()
    assert issuer.asked == 1
    issuer.now = jwks.MAX_AGE
    await asyncio.gather(*(issuer.kids() for _ in range(9)))
    assert issuer.asked == 2


async def test_an_unknown_key_triggers_a_fetch_at_a_limited_rate() -> None:
    issuer = Issuer({"kid": "a"})
    await issuer.kids()
    issuer.keys = ({"kid": "b"},)

    assert await issuer.kids(unknown=True) == ["a"]
    issuer.now = jwks.MIN_INTERVAL
    assert await asyncio.gather(*(issuer.kids(unknown=True) for _ in range(9))) == [["b"]] * 9
    assert issuer.asked == 2


async def test_cached_keys_stay_in_use_while_the_issuer_is_unavailable() -> None:
    issuer = Issuer({"kid": "a"})
    await issuer.kids()
    issuer.keys, issuer.now = None, jwks.MAX_AGE

    assert await issuer.kids() == ["a"]
    assert await issuer.kids() == ["a"]
    assert issuer.asked == 2


async def test_without_any_keys_no_client_can_be_authenticated() -> None:
    issuer = Issuer()
    issuer.keys = None

    with pytest.raises(KeysUnavailableError):
        await issuer.kids()
    with pytest.raises(KeysUnavailableError):
        await issuer.kids()
    assert issuer.asked == 1


async def test_fetching_keys_is_bounded_and_follows_no_redirect(aiohttp_server: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        match request.path:
            case "/keys":
                return web.json_response({"keys": []})
            case "/away":
                return web.Response(status=302, headers={"Location": "/keys"})
        return web.Response(body=b"x" * (jwks.MAX_BODY + 1))

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    server = await aiohttp_server(app)

    assert await FETCHER.fetch(str(server.make_url("/keys"))) == b'{"keys": []}'
    for path, message in (("/away", "302"), ("/huge", "larger")):
        with pytest.raises(KeysUnavailableError, match=message):
            await FETCHER.fetch(str(server.make_url(path)))
    with pytest.raises(KeysUnavailableError, match="the request failed"):
        await FETCHER.fetch("http://127.0.0.1:1/keys")


async def test_keys_come_over_tls_that_the_system_trusts(
    tmp_path: Path, aiohttp_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/packed":
            return web.Response(body=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})
        return web.json_response({"path": request.raw_path, "host": request.host})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    now = datetime.now(UTC)  # noqa: TID251 -- certificates of this very moment
    ca = issuance.authority("test", now)
    server = await aiohttp_server(app, ssl=HotContext(issuance.leaf(ca, ["localhost"], now)).outer)
    url = f"https://localhost:{server.port}"

    with pytest.raises(KeysUnavailableError, match="the certificate of localhost is not valid"):
        await FETCHER.fetch(f"{url}/keys")
    (tmp_path / "ca.crt").write_bytes(ca.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    fetched = json.loads(await FETCHER.fetch(f"{url}/keys/%C3%BC?a=b c&d=%2F#fragment"))
    assert fetched == {"path": "/keys/%C3%BC?a=b%20c&d=%2F", "host": f"localhost:{server.port}"}
    assert json.loads(await FETCHER.fetch(url))["path"] == "/"
    with pytest.raises(KeysUnavailableError, match="the key set is compressed"):
        await FETCHER.fetch(f"{url}/packed")


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example.com/keys",
        "http://idp.auth.svc.example.com/keys",
        "ftp://issuer.example.com/keys",
        "file:///etc/passwd",
        "//issuer.example.com/keys",
        "http://[::1/keys",
        "",
    ],
)
async def test_keys_are_fetched_over_https_only(url: str) -> None:
    for fetcher in (FETCHER, jwks.Fetcher(cluster_domain="cluster.local")):
        with pytest.raises(KeysUnavailableError, match=r"over https only|malformed"):
            await fetcher.fetch(url)


async def test_a_service_may_serve_keys_over_http_by_a_flag_only() -> None:
    url = "http://idp.auth.svc.cluster.local/keys"

    with pytest.raises(KeysUnavailableError, match="over https only"):
        await jwks.Fetcher(cluster_domain="cluster.local").fetch(url)
    with pytest.raises(KeysUnavailableError, match="the request failed"):
        await jwks.Fetcher(cluster_domain="cluster.local", allow_http=True).fetch(url)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "169.254.169.254", "[fd00:ec2::254]", "localhost"])
async def test_keys_are_not_fetched_from_a_forbidden_address(host: str, aiohttp_server: Any) -> None:
    seen = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.json_response({"keys": []})

    app = web.Application()
    app.router.add_get("/keys", answer)
    server = await aiohttp_server(app)

    with pytest.raises(KeysUnavailableError, match="which must not be called"):
        await jwks.Fetcher(cluster_domain="cluster.local").fetch(f"https://{host}:{server.port}/keys")
    assert seen == []


class Secrets:
    """Mounted Secrets, with the layout of the kubelet."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, name: str, **values: str) -> None:
        folder = self.root / name
        revision = folder / f"..{len(list(folder.glob('..[0-9]*')))}"
        revision.mkdir(parents=True)
        for key, value in values.items():
            (revision / key.replace("_json", ".json")).write_text(value)
        (folder / "..next").symlink_to(revision.name)
        (folder / "..next").rename(folder / "..data")
        for link in folder.glob("[!.]*"):
            link.unlink()
        for key in revision.iterdir():
            (folder / key.name).symlink_to(f"..data/{key.name}")

    def issuer(self, *keys: Any) -> None:
        self.put("issuer", jwks_json=json.dumps({"keys": keys}))


@pytest.fixture
def secrets(replicas: Any) -> Secrets:
    return Secrets(replicas.secrets)


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


BY_KEY = Auth("APIKey", api_key_secret="clients")
BY_TOKEN = Auth("JWT", jwt=WANTED)


async def test_an_api_key_identifies_its_client_and_can_be_rotated(
    replicas: Any, catalog_of: Any, secrets: Secrets
) -> None:
    secrets.put("clients", ada="first\n", bob="second", nobody="\n")
    replica = await replicas.start(catalog_of(auth=BY_KEY))

    async def who(credential: str) -> Any:
        status, _, answer = await modern(replica.mcp, "tools/call", name="echo", sent=bearer(credential))
        return answer["result"]["structuredContent"]["principal"] if status == 200 else status

    assert [await who(key) for key in ("first", "second", "third", "\xfc")] == ["ada", "bob", 401, 401]
    secrets.put("clients", ada="third")
    assert [await who(key) for key in ("first", "third")] == [401, "ada"]
    assert replica.count("mcp_server_denied_total", http_response_status_code="401") == 3


@pytest.mark.parametrize(
    ("headers", "status", "challenge"),
    [
        ({}, 401, "Bearer"),
        ({"Authorization": "Basic YTpi"}, 401, "Bearer"),
        ({"Authorization": "Bearer "}, 401, "Bearer"),
        (
            {"Authorization": "Bearer nothing"},
            401,
            'Bearer error="invalid_token", error_description="unknown API key"',
        ),
    ],
)
async def test_a_request_without_a_valid_key_is_denied(
    replicas: Any, catalog_of: Any, secrets: Secrets, headers: dict[str, str], status: int, challenge: str
) -> None:
    secrets.put("clients", ada="first")
    replica = await replicas.start(catalog_of(auth=BY_KEY))

    for method, url in (
        ("POST", replica.mcp),
        ("GET", replica.mcp),
        ("DELETE", replica.mcp),
        ("GET", f"{replica.mcp}/greet"),
    ):
        found, answered, _ = await send(url, method, INITIALIZE if method == "POST" else None, **headers)
        assert (found, answered["WWW-Authenticate"]) == (status, challenge)


async def test_a_missing_secret_is_answered_with_503(replicas: Any, catalog_of: Any, secrets: Secrets) -> None:
    replica = await replicas.start(catalog_of(auth=BY_KEY))
    assert (await send(replica.mcp, body=INITIALIZE, **bearer("x")))[0] == 503
    secrets.put("clients", ada=" ")
    assert (await send(replica.mcp, body=INITIALIZE, **bearer("x")))[0] == 503
    replica.serve(catalog_of(auth=BY_TOKEN))
    assert (await send(replica.mcp, body=INITIALIZE, **bearer("x")))[0] == 503
    secrets.put("issuer", jwks_json="{")
    assert (await send(replica.mcp, body=INITIALIZE, **bearer("x")))[0] == 503
    replica.serve(catalog_of(auth=Auth("JWT")))
    assert (await send(replica.mcp, body=INITIALIZE, **bearer("x")))[0] == 503


async def test_the_user_and_claims_of_a_token_reach_the_call(replicas: Any, catalog_of: Any, secrets: Secrets) -> None:
    secrets.issuer(*KEYS)
    replica = await replicas.start(catalog_of(auth=BY_TOKEN))

    sent = bearer(token(tenant="t1"))
    _, _, answer = await modern(replica.mcp, "tools/call", name="echo", sent=sent)

    assert answer["result"]["structuredContent"]["principal"] == "ada"
    assert replica.backends.contexts[0].claims["tenant"] == "t1"
    assert replica.backends.contexts[0].headers["mcp-name"] == ["echo"]
    assert (await send(f"{replica.mcp}/greet", "GET", **sent))[2]["principal"] == "ada"


@pytest.mark.parametrize(
    ("claims", "claim", "status", "principal"),
    [
        ({"uid": 7}, "uid", 200, "7"),
        ({"uid": ""}, "uid", 401, None),
        ({"uid": True}, "uid", 401, None),
        ({}, "uid", 401, None),
    ],
)
async def test_the_configured_claim_names_the_user(
    replicas: Any, catalog_of: Any, secrets: Secrets, claims: Any, claim: str, status: int, principal: str | None
) -> None:
    secrets.issuer(*KEYS)
    wanted = Jwt(ISSUER, ("shop",), jwks_secret="issuer", user_claim=claim)
    replica = await replicas.start(catalog_of(auth=Auth("JWT", jwt=wanted)))

    found, _, answer = await modern(replica.mcp, "tools/call", name="echo", sent=bearer(token(**claims)))

    assert found == status
    assert principal is None or answer["result"]["structuredContent"]["principal"] == principal


async def test_a_denied_client_gets_a_challenge(replicas: Any, catalog_of: Any, secrets: Secrets) -> None:
    secrets.issuer(*KEYS)
    replica = await replicas.start(catalog_of(auth=BY_TOKEN))
    where = f'scope="read write", resource_metadata="{replica.url}/.well-known/oauth-protected-resource/mcp"'

    status, headers, answer = await send(replica.mcp, body=INITIALIZE)
    assert (status, headers["WWW-Authenticate"], answer["error"]) == (401, f"Bearer {where}", "unauthorized")
    status, headers, _ = await send(replica.mcp, body=INITIALIZE, **bearer(token(exp=NOW - 99)))
    said = f'Bearer error="invalid_token", error_description="the token has expired", {where}'
    assert (status, headers["WWW-Authenticate"]) == (401, said)
    status, headers, _ = await send(replica.mcp, body=INITIALIZE, **bearer(token(scope="read")))
    said = f'Bearer error="insufficient_scope", error_description="the token lacks the scope write", {where}'
    assert (status, headers["WWW-Authenticate"]) == (403, said)


async def test_resource_metadata_needs_no_authentication(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(auth=BY_TOKEN))

    for path in (oauth_metadata.WELL_KNOWN + "/mcp", oauth_metadata.WELL_KNOWN):
        status, _, answer = await send(
            replica.url + path, "GET", **{"X-Forwarded-Proto": "https", "Host": "shop.example.com"}
        )
        assert (status, answer) == (
            200,
            {
                "resource": "https://shop.example.com/mcp",
                "authorization_servers": [ISSUER],
                "bearer_methods_supported": ["header"],
                "scopes_supported": ["read", "write"],
            },
        )
    assert (await send(replica.url + oauth_metadata.WELL_KNOWN + "/other", "GET"))[0] == 404
    replica.serve(catalog_of(auth=BY_KEY))
    assert (await send(replica.url + oauth_metadata.WELL_KNOWN, "GET"))[0] == 404


@pytest.mark.parametrize(
    ("named", "prefix", "host", "identifier", "url"),
    [
        (
            "https://a.example/x/",
            "/mcp",
            "h",
            "https://a.example/x/",
            "https://a.example/.well-known/oauth-protected-resource/x",
        ),
        ("", "/mcp", "h:8", "http://h:8/mcp", "http://h:8/.well-known/oauth-protected-resource/mcp"),
        ("", "/mcp", "[::1]:8", "http://[::1]:8/mcp", "http://[::1]:8/.well-known/oauth-protected-resource/mcp"),
        ("", "/mcp", 'h"', "http://k/mcp", "http://k/.well-known/oauth-protected-resource/mcp"),
    ],
)
def test_a_resource_is_identified_by_its_author_or_by_the_request(
    catalog_of: Any, named: str, prefix: str, host: str, identifier: str, url: str
) -> None:
    settings = catalog_of(auth=Auth("JWT", jwt=WANTED, resource=named), path_prefix=prefix, hosts=("k",)).settings

    found = oauth_metadata.resource(settings, "http", host)

    assert (found.identifier, found.metadata_url) == (identifier, url)
    assert oauth_metadata.WELL_KNOWN + prefix in found.paths


def test_values_in_a_challenge_are_escaped(catalog_of: Any) -> None:
    settings = catalog_of(auth=Auth("None")).settings
    denied = DeniedError(401, "invalid_token", 'a "b" \\')

    said = oauth_metadata.challenge(denied, settings.auth, oauth_metadata.resource(settings, "http", ""))

    assert said == 'Bearer error="invalid_token", error_description="a \\"b\\" \\\\"'
    without = Auth("JWT", jwt=Jwt(ISSUER, ("a",)))
    assert b"scopes_supported" not in (
        oauth_metadata.metadata(without, oauth_metadata.resource(settings, "http", "")) or b""
    )
    assert "scope=" not in oauth_metadata.challenge(denied, without, oauth_metadata.resource(settings, "http", ""))


async def test_authorization_must_be_sent_once(tmp_path: Path) -> None:
    keeper = Authenticator(tmp_path, Issuer().sets, lambda: NOW)

    with pytest.raises(DeniedError) as caught:
        await keeper.authenticate(BY_KEY, ["Bearer a", "Bearer b"])
    assert (caught.value.status, caught.value.error) == (400, "invalid_request")
    with pytest.raises(DeniedError) as caught:
        await keeper.authenticate(BY_KEY, ["Bearer \udcff"])
    assert caught.value.status == 400
    assert await keeper.authenticate(Auth(), ["Bearer a", "Bearer b"]) == authenticator.ANONYMOUS


async def test_a_rotated_key_is_fetched_for_the_first_token_signed_with_it(tmp_path: Path) -> None:
    issuer = Issuer(public(RSA, "old"))
    keeper = Authenticator(tmp_path, issuer.sets, lambda: NOW)
    wanted = Auth("JWT", jwt=Jwt(ISSUER, ("shop",), jwks_url="https://issuer.example.com/keys"))
    assert (await keeper.authenticate(wanted, [f"Bearer {token(kid='old')}"])).principal == "ada"

    issuer.keys, issuer.now = (public(EC, "new", "ES256"),), jwks.MIN_INTERVAL
    turned = f"Bearer {token(EC, 'new', 'ES256')}"

    assert (await keeper.authenticate(wanted, [turned])).principal == "ada"
    with pytest.raises(DeniedError, match="no key"):
        await keeper.authenticate(wanted, [f"Bearer {token(kid='old')}"])


async def test_a_session_belongs_to_its_principal(replicas: Any, catalog_of: Any, secrets: Secrets, redis: Any) -> None:
    secrets.put("clients", ada="first", bob="second")
    for mode, store in (("Memory", None), ("Redis", redis)):
        replica = await replicas.start(catalog_of(auth=BY_KEY, sessions=mode), store)
        _, headers, _ = await send(replica.mcp, body=INITIALIZE, **bearer("first"))
        session = {"Mcp-Session-Id": headers["Mcp-Session-Id"]}

        assert (await send(replica.mcp, body=rpc("ping"), **session, **bearer("second")))[0] == 404
        assert (await send(replica.mcp, "DELETE", **session, **bearer("second")))[0] == 404
        assert (await send(replica.mcp, body=rpc("ping"), **session))[0] == 401
        assert (await send(replica.mcp, body=rpc("ping"), **session, **bearer("first")))[0] == 200


async def test_each_client_has_its_own_rate_limit(replicas: Any, catalog_of: Any, secrets: Secrets) -> None:
    secrets.put("clients", ada="first", bob="second")
    replica = await replicas.start(catalog_of(auth=BY_KEY, limits=Limits(per_client=Bucket(1, 3600))))

    found = [(await modern(replica.mcp, "tools/list", sent=bearer(key)))[0] for key in ("first", "first", "second")]

    assert found == [200, 429, 200]
    assert replica.count("mcp_server_rate_limited_total", scope="client") == 1


async def test_api_keys_are_read_once_per_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = tmp_path / "clients"
    reads = []
    read = mounted_files.read_key
    monkeypatch.setattr(mounted_files, "read_key", lambda *a: (reads.append(a[2]), read(*a))[1])

    def rotate(revision: str, **keys: str) -> None:
        (mount / revision).mkdir(parents=True)
        for name, value in keys.items():
            (mount / revision / name).write_text(value)
            if not (mount / name).is_symlink():
                (mount / name).symlink_to(f"..data/{name}")
        (mount / "..data").unlink(missing_ok=True)
        (mount / "..data").symlink_to(revision)

    rotate("..1", ada="first", bob="second")
    keeper = Authenticator(tmp_path, Issuer().sets, lambda: NOW)
    for key, name in (("first", "ada"), ("second", "bob"), ("first", "ada")):
        assert (await keeper.authenticate(BY_KEY, [f"Bearer {key}"])).principal == name
    with pytest.raises(DeniedError):
        await keeper.authenticate(BY_KEY, ["Bearer third"])
    assert reads == ["ada", "bob"]

    rotate("..2", ada="third", bob="second")
    with pytest.raises(DeniedError):
        await keeper.authenticate(BY_KEY, ["Bearer first"])
    assert (await keeper.authenticate(BY_KEY, ["Bearer third"])).principal == "ada"
    assert reads == ["ada", "bob"] * 2


async def test_an_api_key_that_is_removed_while_they_are_read_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "bob").write_text("second")
    listed = mounted_files.list_keys
    monkeypatch.setattr(mounted_files, "list_keys", lambda *a: ["ada", *listed(*a)])

    keeper = Authenticator(tmp_path, Issuer().sets, lambda: NOW)

    assert (await keeper.authenticate(BY_KEY, ["Bearer second"])).principal == "bob"


async def test_keys_cannot_be_tried_out(replicas: Any, catalog_of: Any, secrets: Secrets) -> None:
    secrets.put("clients", ada="first", bob="second")
    replica = await replicas.start(catalog_of(auth=BY_KEY))
    assert (await modern(replica.mcp, "tools/list", sent=bearer("first")))[0] == 200

    guesses = [
        (await modern(replica.mcp, "tools/list", sent=bearer(f"guess{n}")))[0] for n in range(attempts.BURST + 1)
    ]

    assert guesses == [401] * attempts.BURST + [429]
    # The right key is refused as well, or a guess would show by its answer.
    assert (await modern(replica.mcp, "tools/list", sent=bearer("second")))[0] == 429
    # A client that was accepted before is not locked out by its neighbour.
    assert (await modern(replica.mcp, "tools/list", sent=bearer("first")))[0] == 200
    # Without credentials a client still gets the challenge.
    assert (await modern(replica.mcp, "tools/list"))[0] == 401
    assert replica.count("mcp_server_rate_limited_total", scope="authentication") == 2


SCOPED = Jwt(ISSUER, ("shop",), jwks_secret="issuer")


@pytest.fixture
async def scoped(replicas: Any, catalog_of: Any, secrets: Secrets) -> Any:
    """A replica whose tool ``refund``, prompt, resources and operation require scopes."""
    secrets.issuer(*KEYS)
    one = catalog_of(auth=Auth("JWT", jwt=SCOPED), page_size=2)
    tools = [replace(each, required_scopes=("b", "a")) if each.name == "echo" else each for each in one.tools]
    return await replicas.start(
        replace(
            one,
            tools=tuple(tools),
            prompts=tuple(replace(each, required_scopes=("a",)) for each in one.prompts),
            resources=tuple(replace(each, required_scopes=("a",)) for each in one.resources),
            http_resources=tuple(replace(each, required_scopes=("b",)) for each in one.http_resources),
            operations=tuple(replace(each, required_scopes=("b",)) for each in one.operations),
        )
    )


async def listed(url: str, method: str, member: str, name: str, sent: dict[str, str]) -> list[str]:
    """The names of all pages of a list."""
    names: list[str] = []
    more: dict[str, str] = {}
    while True:
        result = (await modern(url, method, sent=sent, **more))[2]["result"]
        names += [each[name] for each in result[member]]
        if "nextCursor" not in result:
            return names
        more = {"cursor": result["nextCursor"]}


LISTS = [
    ("tools/list", "tools", "name"),
    ("prompts/list", "prompts", "name"),
    ("resources/list", "resources", "uri"),
    ("resources/templates/list", "resourceTemplates", "uriTemplate"),
]


@pytest.mark.parametrize(
    ("scope", "counts"),
    [("", [7, 0, 0, 0]), ("a", [7, 2, 2, 0]), ("b", [7, 0, 5, 2]), ("a b c", [8, 2, 7, 2]), ("ab A B", [7, 0, 0, 0])],
)
async def test_lists_hold_what_the_scopes_of_a_token_allow(scoped: Any, scope: str, counts: list[int]) -> None:
    sent = bearer(token(scope=scope))

    assert [len(await listed(scoped.mcp, *each, sent)) for each in LISTS] == counts


HIDDEN: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("tools/call", {"name": "echo", "arguments": {}}, {"name": "nope", "arguments": {}}),
    ("prompts/get", {"name": "greet", "arguments": {"who": "x"}}, {"name": "nope", "arguments": {"who": "x"}}),
    ("resources/read", {"uri": "shop://terms"}, {"uri": "shop://nope"}),
    ("resources/read", {"uri": "shop://price/mug"}, {"uri": "shop://nope"}),
    ("resources/read", {"uri": "mcp://stock/1"}, {"uri": "shop://nope"}),
    (
        "completion/complete",
        {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "tone", "value": "h"}},
        {"ref": {"type": "ref/prompt", "name": "nope"}, "argument": {"name": "tone", "value": "h"}},
    ),
    (
        "completion/complete",
        {"ref": {"type": "ref/resource", "uri": "shop://price/{sku}"}, "argument": {"name": "sku", "value": "h"}},
        {"ref": {"type": "ref/resource", "uri": "shop://nope"}, "argument": {"name": "sku", "value": "h"}},
    ),
]


@pytest.mark.parametrize(("method", "hidden", "unknown"), HIDDEN)
async def test_what_is_hidden_answers_like_what_is_unknown(
    scoped: Any, method: str, hidden: dict[str, Any], unknown: dict[str, Any]
) -> None:
    without, allowed = bearer(token(scope="")), bearer(token(scope="a b"))
    answers = [await modern(scoped.mcp, method, sent=without, **params) for params in (hidden, unknown)]
    texts = []
    for params, (_, _, answer) in zip((hidden, unknown), answers, strict=True):
        name = params.get("name") or params.get("uri") or list(params["ref"].values())[1]
        texts.append(json.dumps(answer).replace(name, "NAME"))

    assert texts[0] == texts[1]
    assert answers[0][0] == answers[1][0]
    assert scoped.backends.contexts == []
    assert "error" not in (await modern(scoped.mcp, method, sent=allowed, **hidden))[2]


async def test_a_cursor_of_one_view_is_none_of_another(scoped: Any) -> None:
    first = (await modern(scoped.mcp, "tools/list", sent=bearer(token(scope="a b"))))[2]["result"]

    _, _, answer = await modern(scoped.mcp, "tools/list", sent=bearer(token(scope="")), cursor=first["nextCursor"])

    assert answer["error"]["code"] == -32602


async def test_without_tokens_there_are_no_scopes(replicas: Any, catalog_of: Any) -> None:
    one = catalog_of()
    replica = await replicas.start(replace(one, tools=tuple(replace(t, required_scopes=("a",)) for t in one.tools)))

    assert (await modern(replica.mcp, "tools/list"))[2]["result"]["tools"] == []
    error = (await modern(replica.mcp, "tools/call", name="echo", arguments={}))[2]["error"]
    assert error["message"] == "Unknown tool: echo"


async def test_a_list_at_once_is_that_of_a_token_which_was_verified(replicas: Any, scoped: Any) -> None:
    def ask(scope: str) -> Request:
        sent = {name.lower(): value for name, value in bearer(token(scope=scope)).items()}
        return list_request(**sent)

    assert scoped.app.answer_at_once(ask("a b")) is None
    usual = {scope: await scoped.app.handle(ask(scope)) for scope in ("a b", "")}
    for scope, answer in usual.items():
        quick = scoped.app.answer_at_once(ask(scope))
        assert b"".join((quick.body, *quick.parts)) == b"".join((answer.body, *answer.parts))
    assert scoped.app.answer_at_once(list_request(authorization="Bearer x")) is None
    replicas.now += 3600
    assert scoped.app.answer_at_once(ask("a b")) is None


class TokenIssuer:
    """An authenticator with a key set in a Secret, and the tokens that were verified rather than remembered."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.now = NOW
        self.verified: list[str] = []
        self.keys(*KEYS)
        original = tokens.verify

        def verify(given: str, *rest: Any) -> dict[str, Any]:
            self.verified.append(given)
            return original(given, *rest)

        monkeypatch.setattr(tokens, "verify", verify)
        fetcher = jwks.Fetcher(cluster_domain="cluster.local")
        keys = jwks.KeySets(fetcher.fetch, lambda: 0.0)
        self.authenticator = Authenticator(folder, keys, lambda: self.now)

    def keys(self, *keys: Any) -> None:
        (self.folder / "issuer").mkdir(exist_ok=True)
        (self.folder / "issuer" / "jwks.json").write_text(json.dumps({"keys": keys}))

    async def accepts(self, given: str, wanted: Jwt = WANTED) -> bool:
        try:
            await self.authenticator.authenticate(Auth("JWT", jwt=wanted), [f"Bearer {given}"])
        except DeniedError:
            return False
        return True


@pytest.fixture
def issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenIssuer:
    return TokenIssuer(tmp_path, monkeypatch)


async def test_a_token_is_verified_once_and_no_longer_than_it_is_valid(issuer: TokenIssuer) -> None:
    given = token()

    assert [await issuer.accepts(given) for _ in range(3)] == [True] * 3
    assert issuer.verified == [given]
    issuer.now = NOW + 60 + tokens.LEEWAY
    assert not await issuer.accepts(given)
    issuer.now = NOW
    assert await issuer.accepts(given)
    assert issuer.verified == [given] * 3


async def test_a_remembered_token_ends_with_its_key_and_its_policy(issuer: TokenIssuer) -> None:
    given = token()
    assert await issuer.accepts(given)

    assert not await issuer.accepts(given, replace(WANTED, audiences=("other",)))
    assert await issuer.accepts(given)
    issuer.keys(public(EC, "ec", "ES256"))
    assert not await issuer.accepts(given)


async def test_the_tokens_that_are_remembered_have_a_limit(
    issuer: TokenIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticator, "MAX_TOKENS", 2)
    first, second, third = (token(sub=name) for name in ("a", "b", "c"))
    for given in (first, second, third, third, first):
        assert await issuer.accepts(given)
    assert issuer.verified == [first, second, third, first]

    monkeypatch.setattr(authenticator, "MAX_REMEMBERED", 10)
    issuer.verified.clear()
    fourth = token(sub="d")
    for given in (fourth, fourth):
        assert await issuer.accepts(given)
    assert issuer.verified == [fourth, fourth]


def verified(given: str, keys: Any = KEYS) -> str:
    """Why a token is rejected."""
    with pytest.raises(tokens.TokenError) as caught:
        tokens.verify(given, keys, WANTED, NOW)
    return str(caught.value)


ALGORITHMS = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("x.y", "the token is not a JWT"),
        (token(typ="logout+jwt"), "the token's typ must be one of jwt, at+jwt"),
        (unsigned(typ=7, alg="RS256"), "the token's typ must be one of jwt, at+jwt"),
        (unsigned(), f"the token's signature algorithm is not supported; use one of {ALGORITHMS}"),
        (token(kid="new"), "no key of the issuer matches the token"),
        (token(OTHER), "the token's signature was not made with a key of the issuer"),
        (token(aud="other"), "the token is invalid: InvalidAudienceError"),
        (token(exp=NOW - 30), "the token has expired"),
        (token(nbf=NOW + 31), "the token is not valid yet"),
    ],
)
def test_a_token_is_rejected_in_words(given: str, message: str) -> None:
    assert verified(given) == message


def test_a_key_is_used_for_what_it_is_for() -> None:
    good = public(RSA, "rsa")
    without_hints = {name: value for name, value in good.items() if name not in ("use", "alg")}
    for key in (good, without_hints, {**good, "use": "sig"}, {**good, "alg": "RS256"}):
        assert tokens.verify(token(), [key], WANTED, NOW)["sub"] == "ada"
    for key in ({**good, "use": "enc"}, {**good, "alg": "RS384"}, {**good, "kty": "EC"}, {**good, "kid": "x"}):
        assert verified(token(), [key]) == "no key of the issuer matches the token"
    # Of several keys without an id, the one that fits is found.
    wrong = public(OTHER, None)
    assert tokens.verify(token(kid=None), [wrong, good], WANTED, NOW)["sub"] == "ada"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", 'not a JWK Set: must be a JSON object with the member "keys"'),
        (b"[]", 'not a JWK Set: must be a JSON object with the member "keys"'),
        (b"{}", 'not a JWK Set: must be a JSON object with the member "keys"'),
        (b'{"keys":{}}', 'not a JWK Set: "keys" must be a list'),
    ],
)
def test_what_is_no_key_set_says_why(body: bytes, message: str) -> None:
    with pytest.raises(tokens.InvalidKeysError) as caught:
        tokens.key_set(body)

    assert str(caught.value) == message
    assert tokens.key_set(b'{"keys":[{"a":1},7,null]}') == ({"a": 1},)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://[::1/keys", "the URL of the keys is malformed"),
        ("http://issuer.example.com/keys", "keys are fetched over https only"),
        ("ftp://127.0.0.1/keys", "keys are fetched over https only"),
        ("http://127.0.0.1:1/keys", "the request failed: the connection to 127.0.0.1 failed: ConnectionRefusedError"),
    ],
)
async def test_why_keys_cannot_be_fetched(url: str, message: str) -> None:
    with pytest.raises(KeysUnavailableError) as caught:
        await FETCHER.fetch(url)

    assert str(caught.value) == message


async def test_keys_are_asked_for_within_bounds(aiohttp_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "TIMEOUT", 0.05)
    seen: list[Any] = []
    release = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers)
        if request.path == "/slow":
            await release.wait()
        size = jwks.MAX_BODY if request.path == "/most" else jwks.MAX_BODY + 1
        status = int(request.path.removeprefix("/")) if request.path[1:].isdigit() else 200
        return web.Response(status=status, body=b"x" * size if status == 200 else b"")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    server = await aiohttp_server(app)

    async def why(path: str) -> str:
        with pytest.raises(KeysUnavailableError) as caught:
            await FETCHER.fetch(str(server.make_url(path)))
        return str(caught.value)

    assert await why("/slow") == "the request failed: no complete reply in time"
    release.set()
    monkeypatch.setattr(jwks, "TIMEOUT", 10.0)
    assert await why("/500") == "the issuer answered 500; 200 is required"
    assert await why("/204") == "the issuer answered 204; 200 is required"
    assert await why("/more") == "the key set is larger than 262144 bytes"
    assert len(await FETCHER.fetch(str(server.make_url("/most")))) == jwks.MAX_BODY
    assert {headers["Accept"] for headers in seen} == {"application/json"}
    assert {headers["Accept-Encoding"] for headers in seen} == {"identity"}


async def test_no_keys_yet_names_the_issuer(caplog: pytest.LogCaptureFixture) -> None:
    issuer = Issuer()
    issuer.keys = None
    assert issuer.sets.cached("u") is None

    with pytest.raises(KeysUnavailableError) as caught:
        await issuer.kids()

    assert str(caught.value) == "no keys have been fetched from u yet"
    assert "cannot refresh the keys from u: answered 500" in caplog.text
    issuer.keys, issuer.now = ({"kid": "a"},), jwks.MIN_INTERVAL - 1
    with pytest.raises(KeysUnavailableError):
        await issuer.kids()
    issuer.now = jwks.MIN_INTERVAL
    assert await issuer.kids() == ["a"]
    assert issuer.sets.cached("u") == ({"kid": "a"},)
    issuer.now += jwks.MAX_AGE - 1
    assert issuer.sets.cached("u") == ({"kid": "a"},)
    issuer.now += 1
    assert issuer.sets.cached("u") is None
