"""PURE. Which field of a tool's spec makes each part of a request.

The request itself comes from the runtime (`cli.explain.rehearsal`). Here each entry of the spec is written once more by
the runtime's own functions, and found again in the request.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from runtime.backends.http_mapping import bodies, values
from runtime.mcp.eras import MODERN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from crd.published.entries import BodyField, ParameterEntry, Tool
    from runtime.backends.http_mapping.values import Sources
    from runtime.http.exchange import Header, Request

__all__ = ["Explanation", "Part", "explain", "split_url"]

_RUNTIME = "the runtime, for every request"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a request: ``where`` it is, its name and value there, the fields of the spec that make it, and what
    the value is taken from ("argument status")."""

    where: str
    name: str
    value: str
    fields: tuple[str, ...]
    source: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """``headers`` are all that are sent, in order. ``notes`` say what the request does not show."""

    method: str
    url: str
    headers: tuple[Header, ...]
    body: bytes | None
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = field(default=())

    def body_text(self) -> str | None:
        """The body as text; None if there is none, or if it is not text."""
        try:
            return None if self.body is None else self.body.decode()
        except UnicodeDecodeError:
            return None

    def to_json(self) -> dict[str, Any]:
        """The explanation for programs."""
        text = self.body_text()
        encoded = {} if self.body is None or text is not None else {"bodyBase64": base64.b64encode(self.body).decode()}
        request = {"method": self.method, "url": self.url, "headers": [list(header) for header in self.headers]}
        parts = [
            {"where": p.where, "name": p.name, "value": p.value, "fields": list(p.fields), "source": p.source}
            for p in self.parts
        ]
        return {"request": {**request, "body": text, **encoded}, "parts": parts, "notes": list(self.notes)}


def split_url(url: str) -> tuple[str, str, str]:
    """Scheme with authority, path and query of a URL that the runtime wrote."""
    start = url.find("/", url.find("://") + 3)
    path, _, query = url[start:].partition("?")
    return url[:start], path, query


def explain(
    tool: Tool,
    request: Request,
    sources: Sources,
    given: Mapping[str, Any],
    spec: Mapping[str, Any],
    fixed: Sequence[Header],
) -> Explanation:
    """The parts of ``request``, which is that of a call of ``tool``.

    ``sources`` has the arguments after their defaults were added, ``given`` those before; ``spec`` is the spec as its
    author wrote it. ``fixed`` are headers that every request has; the request may replace none of them.
    """
    story = _Story(tool, sources, given, spec)
    base, path, query = split_url(request.url)
    parts = [
        Part("method", "", request.method, (story.mark("spec.method"),) if tool.mcp is None else ("spec.mcp",)),
        Part("host", "", base, story.service_fields()),
        Part("path", "", path, story.path_fields(), story.path_source()),
        *story.query(query),
    ]
    parts += [Part("header", name, value, (_RUNTIME,)) for name, value in fixed]
    parts += story.headers(request.headers)
    if request.body is not None:
        parts.append(Part("header", "Content-Length", str(len(request.body)), (_RUNTIME,)))
    parts += story.body(request.body)
    headers = tuple((part.name, part.value) for part in parts if part.where == "header")
    return Explanation(request.method, request.url, headers, request.body, tuple(parts), tuple(story.notes()))


class _Story:
    """One call of a tool, and the fields of its spec."""

    def __init__(self, tool: Tool, sources: Sources, given: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
        self._tool = tool
        self._sources = sources
        self._given = given
        self._spec = spec

    def mark(self, path: str) -> str:
        """The path of a field, with "(default)" if the author did not write it."""
        node: Any = self._spec
        for step in path.split(".")[1:]:
            node = node.get(step) if isinstance(node, dict) else None
        return path if node is not None else f"{path} (default)"

    def service_fields(self) -> tuple[str, ...]:
        """The fields that make scheme, host and port."""
        service = self._spec.get("service") or {}
        namespace = ("spec.service.namespace",) if "namespace" in service else ()
        named = " (a name, looked up in the Service)" if isinstance(service.get("port"), str) else ""
        port = f"{self.mark('spec.service.port')}{named}"
        return (self.mark("spec.service.scheme"), "spec.service.name", *namespace, port)

    def path_fields(self) -> tuple[str, ...]:
        """The fields that make the path."""
        if self._tool.mcp is not None:
            return (self.mark("spec.mcp.path"),)
        mapped = ("spec.http.path",) if self._tool.http.path else ()
        return (self.mark("spec.service.path"), *mapped)

    def path_source(self) -> str:
        """The arguments in the path."""
        names = [part.partition("}")[0].removesuffix("+") for part in self._tool.http.path.split("{")[1:]]
        return ", ".join(self._argument(name) for name in names) if self._tool.mcp is None else ""

    def query(self, query: str) -> Iterator[Part]:
        """A part for each query parameter: those of the entries come first, then paging, then what no entry names."""
        sent = [pair.partition("=")[::2] for pair in query.split("&")] if query else []
        http = self._tool.http
        for index, entry in enumerate(http.query):
            for pair in values.query_pairs(entry, self._sources):
                sent.remove(pair)
                field_ = f"spec.http.query[{index}]"
                yield Part("query", unquote(pair[0]), unquote(pair[1]), (field_,), self._source(entry))
        pages = http.pagination
        for name, value in sent:
            plain = unquote(name)
            if pages is not None and plain in (pages.parameter, pages.size_parameter):
                is_cursor = plain == pages.parameter
                argument = pages.cursor_argument if is_cursor else pages.size_argument
                fields = ("spec.http.pagination." + ("parameter" if is_cursor else "sizeParameter"),)
                pages = pages if is_cursor else None
            else:
                argument = plain.partition("[")[0]
                fields = (f"spec.inputSchema.properties.{argument}, which no entry of spec.http names",)
            yield Part("query", plain, unquote(value), fields, self._argument(argument))

    def headers(self, sent: Sequence[Header]) -> Iterator[Part]:
        """A part for each header of the request: the mapped ones, then those of the body, then those of the policy."""
        if self._tool.mcp is not None:
            mapped: list[tuple[Header, str, str]] = []
        else:
            mapped = [
                (header, f"spec.http.headers[{index}]", self._source(entry))
                for index, entry in enumerate(self._tool.http.headers)
                for header in values.headers(entry, self._sources)
            ]
        policy = {
            source.name.lower(): (
                f"spec.headersFrom[{i}]",
                f"{source.kind} {self._namespace}/{source.object} key {source.key}",
            )
            for i, source in enumerate(self._tool.policy.headers_from)
        }
        forwarded = {
            each.backend_header.lower(): (f"spec.forwardHeaders[{i}]", f"header {each.name} of the client")
            for i, each in enumerate(self._tool.policy.forward_headers)
        }
        for header in sent:
            name, value = header
            found = next((entry for entry in mapped if entry[0] == header), None)
            # No mapped header has the name of one of the policy: admission refuses that (DuplicateEntry).
            path, source = policy.get(name.lower()) or forwarded.get(name.lower()) or ("", "")
            if not path and found is not None:
                mapped.remove(found)
                _, path, source = found
            elif not path:
                path = self._own_header(name)
            yield Part("header", name, value, (path,), source)

    def _own_header(self, name: str) -> str:
        """What makes a header that no entry of the spec names."""
        if name == "traceparent":
            return _RUNTIME
        if self._tool.mcp is not None:
            return "spec.mcp (Streamable HTTP)"
        if name == "Idempotency-Key":
            return "spec.retries with spec.annotations.idempotentHint"
        return "spec.http.body.contentType" if self._tool.http.body.content_type else self._mode_field()

    def _mode_field(self) -> str:
        field_ = self.mark("spec.http.body.mode")
        mode = bodies.effective_mode(self._tool.http.body, self._tool.method)
        return f"{field_.removesuffix(' (default)')} ({mode}{', the default' if field_.endswith(')') else ''})"

    def body(self, body: bytes | None) -> Iterator[Part]:
        """A part for the body as a whole, and for each of its fields."""
        if body is None:
            return
        size = f"{len(body)} bytes"
        if self._tool.mcp is not None:
            yield Part("body", "", size, (self.mark("spec.mcp.toolName"),), "all arguments")
            return
        mapped = self._tool.http.body
        mode = bodies.effective_mode(mapped, self._tool.method)
        source = {
            "Arguments": "all arguments that no other entry names",
            "Argument": self._argument(mapped.argument),
            "Raw": self._argument(mapped.argument),
        }.get(mode, "")
        if mode in ("Form", "Multipart") and not mapped.fields:
            source = "all arguments that no other entry names"
        yield Part("body", "", size, (self._mode_field(),), source)
        for index, entry in enumerate(mapped.fields):
            yield Part("body", entry.name, "", (f"spec.http.body.fields[{index}]",), self._source(entry))

    def notes(self) -> Iterator[str]:
        """What the request does not show."""
        policy, tls = self._tool.policy, self._tool.policy.tls
        if tls is not None and tls.insecure_skip_verify:
            yield "the certificate of the backend is not verified (spec.tls.insecureSkipVerify)"
        if tls is not None and tls.ca_secret:
            secret = f"Secret {self._namespace}/{tls.ca_secret}"
            yield f"the certificate must be signed by ca.crt of {secret} (spec.tls.caSecretName)"
        if policy.forward_headers:
            yield "headers of spec.forwardHeaders are sent only if the client sends them"
        if self._tool.mcp is not None and self._tool.mcp.protocol != "Modern":
            yield f"a backend that does not speak MCP {MODERN} is called in a session instead (spec.mcp.protocol)"
        unused = sorted(set(self._sources.arguments) - set(self._given))
        if unused:
            yield f"defaults of spec.inputSchema were added for {', '.join(unused)}"

    def _source(self, entry: ParameterEntry | BodyField) -> str:
        if entry.argument:
            return self._argument(entry.argument)
        return f"claim {entry.claim} of the client's token" if entry.claim else "the constant in value"

    def _argument(self, name: str) -> str:
        top = name.split("/")[1] if name.startswith("/") else name
        is_default = top in self._sources.arguments and top not in self._given
        return f"argument {name}{' (default of spec.inputSchema)' if is_default else ''}"

    @property
    def _namespace(self) -> str:
        return self._tool.source.partition("/")[0]
