"""PURE. Extract the facts that a snapshot stores from a spec or from a manifest of another kind.

`crd.manifest` calls it for our kinds; caches and `check` call it for Services, Secrets, ConfigMaps and ReferenceGrants.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from crd import addresses, ways_in
from crd.clients import portability, tokens
from crd.facts import BackendRef, Claim, GrantFact, MemberFact, Mount, NameFact, ServerFact, ServiceFact, Space
from crd.models import metadata as times
from crd.models.access import ALWAYS_GIVEN
from crd.models.metadata import UnsoundError
from crd.models.prompt import PromptSpec
from crd.models.resource import ResourceSpec, template_of
from crd.models.server import ServerSpec
from crd.models.tool import ToolSpec
from crd.published import catalogs
from crd.ref import GROUP, Kind, Ref
from crd.ways_in import WaysIn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from crd.facts import Fact
    from crd.models.calls import HeaderFrom, ServiceRef, Tls
    from crd.models.http import Http, Source

__all__ = [
    "TEXTS",
    "claims",
    "facts_of",
    "facts_of_foreign",
    "forbidden_endpoint",
    "service_fact",
    "sound_facts_of",
    "weight_of_texts",
]

T = TypeVar("T")
MemberSpec = ToolSpec | PromptSpec | ResourceSpec
Path = tuple[str | int, ...]
# No address, and no DNS name, is longer.
_MAX_ADDRESS = 253
# The members of a spec that `weight_of_texts` estimates.
TEXTS = frozenset({"name", "title", "description"})


def facts_of(
    ref: Ref, metadata: Mapping[str, Any], spec: ServerSpec | MemberSpec, given: Mapping[str, Any]
) -> MemberFact | ServerFact:
    """The facts of an object of one of our kinds; ``given`` is its undecoded spec.

    They depend on the schemas of a tool through ``given`` only; see `crd.manifest.fact_of`.
    """
    if isinstance(spec, ServerSpec):
        return _server(ref, metadata, spec)
    deleting = "deletionTimestamp" in metadata
    places: dict[Claim, Path] = {}
    for claim, place in claims(spec.name or ref.name, spec) if not deleting else ():
        places.setdefault(claim, place)
    unsupported: tuple[tuple[str, Path, str], ...] = ()
    listed = 0
    if places and isinstance(spec, ToolSpec):
        seen = portability.see(given.get("inputSchema", spec.input_schema), given.get("outputSchema"))
        unsupported = seen.unsupported
        hints = spec.annotations.model_dump(by_alias=True, exclude_none=True) if spec.annotations else {}
        listed = tokens.of_texts(spec.name or ref.name, spec.title, spec.description)
        listed += seen.tokens + tokens.of_annotations(hints)
    timeout = None if isinstance(spec, PromptSpec) else spec.timeout
    return MemberFact(
        ref,
        dict(_mapping(metadata.get("labels"))),
        str(metadata.get("uid") or ""),
        str(metadata.get("creationTimestamp") or ""),
        tuple(places),
        tuple(_backends(ref.namespace, spec)),
        tuple(places.values()),
        tuple(_mounts(ref.namespace, spec)),
        _weight(spec, given) if places else 0,
        times.seconds(timeout) if timeout else 0.0,
        deleting,
        spec.required_scopes,
        () if isinstance(spec, PromptSpec) or spec.http is None else token_claims(spec.http),
        unsupported,
        listed,
        isinstance(spec, ToolSpec) and spec.mcp is not None and spec.mcp.pin is not None,
    )


def token_claims(http: Http) -> tuple[str, ...]:
    """The claims of the client's token that a mapping sends, without repetition."""
    sources: tuple[Source, ...] = (*http.query, *http.headers, *(http.body.fields if http.body else ()))
    return tuple(dict.fromkeys(source.claim for source in sources if source.claim))


def sound_facts_of(
    ref: Ref, metadata: Mapping[str, Any], labels: Mapping[str, str], spec: ServerSpec | MemberSpec
) -> MemberFact | ServerFact | None:
    """The facts of a spec of which only a part is sound: the labels, and what does not depend on another part.

    None for a server whose selectors are not sound.
    """
    if isinstance(spec, ServerSpec):
        return _sound_server(ref, metadata, spec)
    deleting = "deletionTimestamp" in metadata
    places: dict[Claim, Path] = {}
    for claim, place in _until_unsound(lambda: claims(spec.name or ref.name, spec)) if not deleting else ():
        places.setdefault(claim, place)
    return MemberFact(
        ref,
        labels,
        str(metadata.get("uid") or ""),
        str(metadata.get("creationTimestamp") or ""),
        tuple(places),
        _until_unsound(lambda: _backends(ref.namespace, spec)),
        tuple(places.values()),
        _until_unsound(lambda: _mounts(ref.namespace, spec)),
        deleting=deleting,
    )


def _sound_server(ref: Ref, metadata: Mapping[str, Any], spec: ServerSpec) -> ServerFact | None:
    try:
        prompts, resources = spec.prompt_selector, spec.resource_selector
        return ServerFact(
            ref,
            spec.tool_selector.selector(),
            prompts.selector() if prompts else None,
            resources.selector() if resources else None,
            prefer_incumbent=spec.naming is not None and spec.naming.on_conflict == "PreferIncumbent",
            prefix=spec.name_prefix,
            mounts=_until_unsound(lambda: _server_mounts(ref.namespace, spec)),
            uid=str(metadata.get("uid") or ""),
            created=str(metadata.get("creationTimestamp") or ""),
            deleting="deletionTimestamp" in metadata,
            has_tokens=True,
        )
    except UnsoundError:
        return None


def _until_unsound(read: Callable[[], Iterator[T]]) -> tuple[T, ...]:
    """What is read until something is not sound."""
    found: list[T] = []
    with contextlib.suppress(UnsoundError):
        found.extend(read())
    return tuple(found)


def weight_of_texts(name: str | None, title: str, description: str) -> int:
    """The part of `MemberFact.weight` that comes from the texts of a spec: half of their characters.

    They are not compressed for it, so that a tool whose texts alone changed needs no new estimate of the rest.
    """
    return (len(name or "") + len(title) + len(description)) // 2


def _weight(spec: MemberSpec, given: Mapping[str, Any]) -> int:
    rest = orjson.dumps({key: given[key] for key in given if key not in TEXTS}, option=orjson.OPT_NON_STR_KEYS)
    return catalogs.weight(rest) + weight_of_texts(spec.name, spec.title, spec.description)


def claims(name: str, spec: MemberSpec) -> Iterator[tuple[Claim, Path]]:
    """The claims of an object, each with the path of its field; a claim may appear more than once."""
    match spec:
        case ToolSpec() if spec.enabled:
            yield Claim(Space.TOOL_NAME, name), ("spec", "name")
            if spec.ingress_path:
                yield Claim(Space.REST_PATH, f"POST {spec.ingress_path}"), ("spec", "ingressPath")
        case PromptSpec():
            yield Claim(Space.PROMPT_NAME, name), ("spec", "name")
            if spec.ingress_path:
                yield Claim(Space.REST_PATH, f"GET {spec.ingress_path}"), ("spec", "ingressPath")
        case ResourceSpec():
            yield from _resource_claims(name, spec)


def facts_of_foreign(raw: Mapping[str, Any]) -> Fact | None:
    """The facts of a Service, Secret, ConfigMap or ReferenceGrant; None for other kinds and without a name."""
    metadata = _mapping(raw.get("metadata"))
    namespace, name = str(metadata.get("namespace") or "default"), metadata.get("name")
    if not isinstance(name, str) or not name:
        return None
    match raw.get("apiVersion"), raw.get("kind"):
        case "v1", "Service":
            return service_fact(raw)
        case "v1", "Secret" | "ConfigMap" as kind:
            return NameFact(Ref(Kind(kind), namespace, name))
        case str(version), "ReferenceGrant" if version.startswith("gateway.networking.k8s.io/"):
            return _grant(Ref(Kind.GRANT, namespace, name), _mapping(raw.get("spec")))
    return None


def forbidden_endpoint(raw: Mapping[str, Any]) -> tuple[Ref, str] | None:
    """The Service of an EndpointSlice or of Endpoints, and an address there that must not be called, and why.

    None for other kinds, without a Service, and if all addresses may be called.
    """
    metadata = _mapping(raw.get("metadata"))
    match raw.get("apiVersion"), raw.get("kind"):
        case str(version), "EndpointSlice" if version.startswith("discovery.k8s.io/"):
            name = _mapping(metadata.get("labels")).get("kubernetes.io/service-name")
            given = [_list(each.get("addresses")) for each in map(_mapping, _list(raw.get("endpoints")))]
        case "v1", "Endpoints":
            # Kubernetes makes EndpointSlices of them.
            name = metadata.get("name")
            given = [
                [_mapping(address).get("ip") for address in _list(subset.get(member))]
                for subset in map(_mapping, _list(raw.get("subsets")))
                for member in ("addresses", "notReadyAddresses")
            ]
        case _:
            return None
    texts = [[str(address)[:_MAX_ADDRESS] for address in group] for group in given]
    found = addresses.forbidden_endpoint(
        {"addressType": raw.get("addressType"), "endpoints": [{"addresses": group} for group in texts]}
    )
    if not found or not isinstance(name, str) or not name:
        return None
    return Ref(Kind.SERVICE, str(metadata.get("namespace") or "default"), name), found


def service_fact(raw: Mapping[str, Any]) -> ServiceFact:
    """The facts of a core/v1 Service."""
    metadata, spec = _mapping(raw.get("metadata")), _mapping(raw.get("spec"))
    ports = tuple(
        (str(port.get("name") or ""), port["port"])
        for port in map(_mapping, _list(spec.get("ports")))
        if isinstance(port.get("port"), int)
    )
    ref = Ref(Kind.SERVICE, str(metadata.get("namespace") or "default"), str(metadata.get("name")))
    return ServiceFact(ref, str(spec.get("type") or "ClusterIP"), ports)


def _grant(ref: Ref, spec: Mapping[str, Any]) -> GrantFact:
    sources = frozenset(
        (str(source.get("kind")), str(source.get("namespace")))
        for source in map(_mapping, _list(spec.get("from")))
        if source.get("group") == GROUP
    )
    targets = [
        target.get("name")
        for target in map(_mapping, _list(spec.get("to")))
        if target.get("group", "") == "" and target.get("kind") == "Service"
    ]
    return GrantFact(ref, sources, None if None in targets else frozenset(map(str, targets)))


def _server(ref: Ref, metadata: Mapping[str, Any], spec: ServerSpec) -> ServerFact:
    prompts, resources = spec.prompt_selector, spec.resource_selector
    jwt = spec.auth.jwt if spec.auth and spec.auth.type == "JWT" else None
    return ServerFact(
        ref,
        spec.tool_selector.selector(),
        prompts.selector() if prompts else None,
        resources.selector() if resources else None,
        strict=spec.integrity == "Strict",
        prefer_incumbent=spec.naming is not None and spec.naming.on_conflict == "PreferIncumbent",
        prefix=spec.name_prefix,
        request_timeout=times.seconds(spec.config.request_timeout),
        limited=tuple(sorted(spec.rate_limits.tools)) if spec.rate_limits else (),
        ways_in=_ways_in(spec),
        backends=tuple(_server_backends(ref.namespace, spec)),
        mounts=tuple(_server_mounts(ref.namespace, spec)),
        uid=str(metadata.get("uid") or ""),
        created=str(metadata.get("creationTimestamp") or ""),
        deleting="deletionTimestamp" in metadata,
        has_tokens=jwt is not None,
        scopes=frozenset(jwt.scopes_supported) if jwt and jwt.scopes_supported else None,
        token_claims=ALWAYS_GIVEN.union(jwt.claims_supported) if jwt and jwt.claims_supported else None,
        clients=tuple(sorted(spec.clients)),
        budget=spec.context_budget,
        prefix_tokens=tokens.estimate(spec.name_prefix.encode()),
    )


def _ways_in(spec: ServerSpec) -> WaysIn | None:
    if spec.ingress is None:
        return None
    prefix = spec.ingress.path_prefix
    resource = spec.auth.resource if spec.auth and spec.auth.type == "JWT" else None
    return WaysIn(spec.ingress.host, prefix, ways_in.metadata_path(resource, prefix))


def _server_backends(namespace: str, spec: ServerSpec) -> Iterator[BackendRef]:
    redis = spec.redis
    if redis:
        yield BackendRef(Ref(Kind.SERVICE, namespace, redis.service_name), redis.port, ("spec", "redis"))
        if sentinel := redis.sentinel:
            service = Ref(Kind.SERVICE, namespace, sentinel.service_name or redis.service_name)
            yield BackendRef(service, sentinel.port, ("spec", "redis", "sentinel"))
    if spec.telemetry and (traces := spec.telemetry.traces):
        yield BackendRef(
            Ref(Kind.SERVICE, namespace, traces.service_name), traces.port, ("spec", "telemetry", "traces")
        )


def _server_mounts(namespace: str, spec: ServerSpec) -> Iterator[Mount]:
    named: list[tuple[str | None, Path]] = []
    if spec.redis:
        named.append((spec.redis.credentials_secret_name, ("redis", "credentialsSecretName")))
        named.append((spec.redis.tls.ca_secret_name if spec.redis.tls else None, ("redis", "tls", "caSecretName")))
        if sentinel := spec.redis.sentinel:
            named.append((sentinel.credentials_secret_name, ("redis", "sentinel", "credentialsSecretName")))
    if spec.auth and spec.auth.api_key:
        named.append((spec.auth.api_key.secret_name, ("auth", "apiKey", "secretName")))
    if spec.auth and spec.auth.jwt:
        named.append((spec.auth.jwt.jwks_secret_name, ("auth", "jwt", "jwksSecretName")))
    if spec.ingress:
        named.append((spec.ingress.tls_secret_name, ("ingress", "tlsSecretName")))
    for name, path in named:
        if name:
            yield Mount(Ref(Kind.SECRET, namespace, name), ("spec", *path))


def _resource_claims(name: str, spec: ResourceSpec) -> Iterator[tuple[Claim, Path]]:
    if spec.content:
        yield Claim(Space.URI, spec.content.uri), ("spec", "content", "uri")
    if spec.http is not None:
        field = "uri" if spec.uri else "uriTemplate"
        yield Claim(Space.URI, spec.uri or spec.uri_template or ""), ("spec", field)
    for index, operation in enumerate(spec.operations or ()):
        at = ("spec", "operations", index)
        if operation.method == "GET":
            yield Claim(Space.URI, template_of(name, operation)), (*at, "uriTemplate")
        yield Claim(Space.REST_PATH, f"{operation.method} {operation.ingress_path}"), (*at, "ingressPath")


def _backends(namespace: str, spec: MemberSpec) -> Iterator[BackendRef]:
    if isinstance(spec, PromptSpec):
        return
    if spec.service is not None:
        yield _backend(namespace, spec.service, ("spec", "service"))
    if isinstance(spec, ResourceSpec):
        for index, operation in enumerate(spec.operations or ()):
            yield _backend(namespace, operation.service, ("spec", "operations", index, "service"))


def _backend(namespace: str, service: ServiceRef, path: Path) -> BackendRef:
    return BackendRef(Ref(Kind.SERVICE, service.namespace or namespace, service.name), service.port, path)


def _mounts(namespace: str, spec: MemberSpec) -> Iterator[Mount]:
    if not isinstance(spec, PromptSpec):
        yield from _credentials(namespace, spec.headers_from)
        yield from _authorities(namespace, spec.tls)


def _credentials(namespace: str, headers: tuple[HeaderFrom, ...]) -> Iterator[Mount]:
    for index, header in enumerate(headers):
        at = ("spec", "headersFrom", index)
        if header.secret_key_ref:
            yield Mount(Ref(Kind.SECRET, namespace, header.secret_key_ref.name), (*at, "secretKeyRef", "name"))
        if header.config_map_key_ref:
            yield Mount(
                Ref(Kind.CONFIG_MAP, namespace, header.config_map_key_ref.name), (*at, "configMapKeyRef", "name")
            )


def _authorities(namespace: str, tls: Tls | None) -> Iterator[Mount]:
    if tls and tls.ca_secret_name:
        yield Mount(Ref(Kind.SECRET, namespace, tls.ca_secret_name), ("spec", "tls", "caSecretName"))


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
