"""PURE. Make the entries of a published catalog from the specs of objects.

Called by `crd.compiler.members`; `crd.compiler.compilation` decides who is served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd.clients import listing
from crd.models import amounts, metadata
from crd.published import entries, pins, policy, settings
from crd.ref import Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crd.models import calls, http
    from crd.models.prompt import PromptSpec
    from crd.models.resource import Operation, ResourceSpec
    from crd.models.server import ServerSpec
    from crd.models.tool import ToolSpec
    from crd.snapshot import Snapshot

__all__ = ["http_resource", "inline_resource", "operation", "prompt", "server_settings", "tool"]


def server_settings(spec: ServerSpec) -> settings.Settings:
    """The settings of a server."""
    ttl = spec.sessions.ttl if spec.sessions else "30m"
    return settings.Settings(
        path_prefix=spec.ingress.path_prefix if spec.ingress else "/mcp",
        request_timeout=metadata.seconds(spec.config.request_timeout),
        max_concurrent_requests=spec.config.max_concurrent_requests,
        max_request_bytes=amounts.to_bytes(spec.config.max_request_bytes),
        max_response_bytes=amounts.to_bytes(spec.config.max_response_bytes),
        allowed_origins=tuple(sorted(spec.config.allowed_origins)),
        page_size=spec.config.page_size,
        list_ttl=metadata.seconds(spec.config.list_ttl),
        log_level=spec.config.log_level,
        sessions=spec.session_mode,
        session_ttl=metadata.seconds(ttl),
        hosts=(spec.ingress.host,) if spec.ingress else (),
        trusted_proxies=tuple(sorted(spec.config.trusted_proxies)),
        info=_info(spec),
        auth=_auth(spec),
        limits=_limits(spec),
        tolerances=spec.tolerances.model_dump(by_alias=True, exclude_none=True) if spec.tolerances else {},
    )


def tool(ref: Ref, name: str, spec: ToolSpec, snapshot: Snapshot, rest_path: str) -> entries.Tool:
    """A tool with its served name; ``rest_path`` is its ingress path, or empty if another object serves it."""
    hints = spec.annotations.model_dump(by_alias=True, exclude_none=True) if spec.annotations else {}
    mcp = spec.mcp
    return entries.Tool(
        name=name,
        source=ref.key,
        method=spec.method,
        backend=_backend(ref, spec.service, snapshot),
        input_schema=listing.listed(spec.input_schema, of_arguments=True),
        title=spec.title,
        description=spec.description,
        annotations=hints,
        output_schema=None if spec.output_schema is None else listing.listed(spec.output_schema, of_arguments=False),
        http=_http(spec.http),
        mcp=_mcp(mcp, spec.name or ref.name) if mcp else None,
        policy=_tool_policy(spec),
        rate_limit=_bucket(spec.rate_limit) if spec.rate_limit else None,
        ingress_path=rest_path,
        required_scopes=tuple(sorted(spec.required_scopes)),
    )


def prompt(ref: Ref, name: str, spec: PromptSpec, rest_path: str) -> entries.Prompt:
    """A prompt with its served name."""
    if spec.template is not None:
        messages: tuple[entries.Message, ...] = (entries.Message("user", spec.template),)
    else:
        messages = tuple(
            entries.Message(m.role, m.text, m.resource.uri if m.resource else None) for m in spec.messages or ()
        )
    return entries.Prompt(
        name=name,
        source=ref.key,
        messages=messages,
        title=spec.title,
        description=spec.description,
        variables=tuple(
            entries.Variable(v.name, v.title, v.description, v.required, v.default, v.enum) for v in spec.variables
        ),
        ingress_path=rest_path,
        required_scopes=tuple(sorted(spec.required_scopes)),
    )


def inline_resource(ref: Ref, name: str, spec: ResourceSpec) -> entries.InlineResource:
    """A resource with content in the object itself. Raises ValueError for any other resource."""
    if spec.content is None:
        raise ValueError(f"{ref} has no content")
    return entries.InlineResource(
        uri=spec.content.uri,
        name=name,
        source=ref.key,
        title=spec.title,
        description=spec.description,
        mime_type=spec.content.mime_type,
        annotations=_hints(spec),
        text=spec.content.text,
        blob=spec.content.blob,
        required_scopes=tuple(sorted(spec.required_scopes)),
    )


def http_resource(ref: Ref, name: str, spec: ResourceSpec, snapshot: Snapshot) -> entries.HttpResource:
    """A resource that is read with GET. Raises ValueError for any other resource."""
    if spec.service is None:
        raise ValueError(f"{ref} has no service")
    return entries.HttpResource(
        uri=spec.uri or spec.uri_template or "",
        name=name,
        source=ref.key,
        backend=_backend(ref, spec.service, snapshot),
        title=spec.title,
        description=spec.description,
        mime_type=spec.mime_type or "",
        annotations=_hints(spec),
        http=_http(spec.http),
        policy=policy.Policy(
            timeout=metadata.seconds(spec.timeout) if spec.timeout else None,
            tls=_tls(spec.tls),
            headers_from=_headers_from(spec.headers_from),
            response=_response(spec.response),
        ),
        required_scopes=tuple(sorted(spec.required_scopes)),
    )


def operation(
    ref: Ref, name: str, spec: ResourceSpec, source: Operation, snapshot: Snapshot, *, uri: str, rest_path: str
) -> entries.Operation:
    """An operation of a resource; ``uri`` and ``rest_path`` are empty if another object serves them."""
    return entries.Operation(
        name=name,
        source=ref.key,
        method=source.method,
        ingress_path=rest_path,
        backend=_backend(ref, source.service, snapshot),
        uri_template=uri,
        title=spec.title,
        description=spec.description,
        mime_type=spec.mime_type or "",
        annotations=_hints(spec),
        parameters=tuple(entries.Parameter(p.name, p.in_, p.required, p.description) for p in source.parameters),
        required_scopes=tuple(sorted(spec.required_scopes)),
    )


def _backend(source: Ref, service: calls.ServiceRef, snapshot: Snapshot) -> entries.Backend:
    """The address of a Service. The port is 0 if a named port is unknown."""
    ref = Ref(Kind.SERVICE, service.namespace or source.namespace, service.name)
    found = snapshot.service(ref)
    number = found.port_number(service.port) if found else None
    if number is None:
        number = service.port if isinstance(service.port, int) else 0
    return entries.Backend(f"{ref.name}.{ref.namespace}.svc", number, service.path, service.scheme)


def _http(source: http.Http | None) -> entries.Http:
    if source is None:
        return entries.Http()
    pages = source.pagination
    return entries.Http(
        path=source.path,
        query=_entries(source.query),
        headers=_entries(source.headers),
        body=_body(source.body) if source.body else entries.Body(),
        pagination=entries.Pagination(
            cursor_argument=pages.cursor_argument,
            parameter=pages.parameter,
            next_pointer=pages.next_pointer or "",
            next_link=pages.next_link is True,
            size_argument=pages.size_argument or "",
            size_parameter=pages.size_parameter or "",
            max_size=pages.max_size,
        )
        if pages
        else None,
    )


def _mcp(source: http.Mcp, name: str) -> entries.Mcp:
    found, pin = source.pin, None
    if found is not None:
        pin = pins.Pin(
            found.title or "",
            found.description or "",
            found.input_schema,
            found.output_schema or "",
            found.annotations or "",
        )
    return entries.Mcp(source.path, source.tool_name or name, source.protocol, source.session, pin, source.on_drift)


def _entries(source: Iterable[http.QueryEntry]) -> tuple[entries.ParameterEntry, ...]:
    return tuple(
        entries.ParameterEntry(e.name, e.argument or "", e.value, e.claim or "", e.style, e.omit_empty) for e in source
    )


def _body(source: http.Body) -> entries.Body:
    fields = (
        entries.BodyField(
            f.name,
            f.argument or "",
            f.value,
            f.claim or "",
            f.file_name or "",
            f.media_type or "",
            f.encoding or "",
            f.style,
        )
        for f in source.fields
    )
    return entries.Body(
        source.mode, source.argument or "", tuple(fields), source.content_type or "", source.encoding or ""
    )


def _tool_policy(spec: ToolSpec) -> policy.Policy:
    breaker, retries = spec.circuit_breaker, spec.retries
    return policy.Policy(
        timeout=metadata.seconds(spec.timeout) if spec.timeout else None,
        retries=policy.Retries(retries.attempts, retries.retry_on) if retries else policy.Retries(),
        breaker=policy.Breaker(breaker.consecutive_failures, metadata.seconds(breaker.open_for)) if breaker else None,
        concurrency=spec.concurrency,
        tls=_tls(spec.tls),
        headers_from=_headers_from(spec.headers_from),
        forward_headers=tuple(policy.ForwardHeader(h.name, h.backend_header or h.name) for h in spec.forward_headers),
        response=_response(spec.response),
    )


def _tls(source: calls.Tls | None) -> policy.Tls | None:
    if source is None:
        return None
    return policy.Tls(source.ca_secret_name or "", source.server_name or "", source.insecure_skip_verify)


def _headers_from(source: Iterable[calls.HeaderFrom]) -> tuple[policy.HeaderFrom, ...]:
    found = (
        (h, Kind.SECRET, h.secret_key_ref) if h.secret_key_ref else (h, Kind.CONFIG_MAP, h.config_map_key_ref)
        for h in source
    )
    return tuple(
        policy.HeaderFrom(header.name, kind.value, source.name, source.key, header.prefix)
        for header, kind, source in found
        if source is not None
    )


def _response(source: calls.Response | None) -> policy.Response:
    if source is None:
        return policy.Response()
    return policy.Response(
        format=source.format,
        select=source.select or "",
        max_bytes=amounts.to_bytes(source.max_bytes) if source.max_bytes is not None else None,
        on_too_large=source.on_too_large,
        on_schema_mismatch=source.on_schema_mismatch,
        expect_status=source.expect_status,
        headers=source.headers,
    )


def _bucket(source: calls.RateLimit) -> policy.Bucket:
    return policy.Bucket(source.requests, metadata.seconds(source.period), source.burst or 0)


def _hints(spec: ResourceSpec) -> dict[str, object]:
    if spec.annotations is None:
        return {}
    audience = {"audience": list(spec.annotations.audience)} if spec.annotations.audience else {}
    priority = {} if spec.annotations.priority is None else {"priority": spec.annotations.priority}
    return {**audience, **priority}


def _info(spec: ServerSpec) -> settings.Info:
    info = spec.info
    if info is None:
        return settings.Info()
    return settings.Info(info.title, info.version, info.instructions, info.website_url or "")


def _auth(spec: ServerSpec) -> settings.Auth:
    auth = spec.auth
    if auth is None:
        return settings.Auth()
    jwt = auth.jwt
    return settings.Auth(
        type=auth.type,
        api_key_secret=auth.api_key.secret_name if auth.api_key else "",
        jwt=settings.Jwt(
            jwt.issuer,
            jwt.audiences,
            jwt.jwks_url or "",
            jwt.jwks_secret_name or "",
            jwt.required_scopes,
            jwt.user_claim,
        )
        if jwt
        else None,
        resource=auth.resource or "",
    )


def _limits(spec: ServerSpec) -> settings.Limits:
    limits = spec.rate_limits
    if limits is None:
        return settings.Limits()
    return settings.Limits(
        server=_bucket(limits.server) if limits.server else None,
        per_client=_bucket(limits.per_client) if limits.per_client else None,
        tools=tuple(settings.ToolLimit(name, _bucket(limits.tools[name])) for name in sorted(limits.tools)),
        on_store_failure=limits.on_store_failure,
    )
