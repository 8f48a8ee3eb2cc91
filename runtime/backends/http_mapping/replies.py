"""PURE. From a backend's reply to the result of a call, in the words of each era."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import jsonschema_rs
import orjson

from runtime.backends.faults import CallError
from runtime.backends.http_mapping import pointers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.published.entries import Pagination, Tool
    from crd.published.policy import Response

__all__ = ["Reply", "contents", "expected", "failure", "listed_output_schema", "selected", "success"]

MAX_DEPTH = 32
HEADERS_META = "mcp.example.com/headers"
_LINK = re.compile(r'<([^>]*)>([^,<]*(?:"[^"]*"[^,<]*)*)')


@dataclass(frozen=True, slots=True)
class Reply:
    """What a backend answered, read to its end, or as far as it may be: then ``cut`` says how long the whole is.

    ``headers`` by lower-case name. ``cut`` 0: longer, and nobody said by how much.
    """

    status: int
    content_type: str
    body: bytes
    retry_after: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None

    @property
    def media_type(self) -> str:
        """Without parameters, in lower case."""
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def is_json(self) -> bool:
        """``*/json`` or ``*/*+json``."""
        return self.media_type.endswith(("/json", "+json"))


class _MismatchError(Exception):
    """The reply is not what was promised of it; ``args[0]`` says how."""


def expected(status: int, wanted: tuple[str, ...]) -> bool:
    """Whether a status is one of these codes and classes (``404``, ``2xx``)."""
    return any(str(status) == code or (code.endswith("xx") and str(status)[0] == code[0]) for code in wanted)


def success(reply: Reply, tool: Tool, *, modern: bool, request_id: str) -> dict[str, Any]:
    """The result of tools/call. Raises CallError ``bad_response`` for JSON that is none.

    A reply that breaks the outputSchema, or that lacks what is selected of it, is an ``isError`` that keeps the reply
    as a second text; with onSchemaMismatch Observe it is passed on as text.
    """
    wanted = tool.policy.response
    exposed = {name: reply.headers[name.lower()] for name in wanted.headers if name.lower() in reply.headers}
    meta = {"_meta": {HEADERS_META: exposed}} if exposed else {}
    try:
        return {**_shaped(reply, tool, modern=modern), **meta}
    except _MismatchError as mismatch:
        text = {"type": "text", "text": _text(reply)}
        if wanted.on_schema_mismatch == "Observe":
            return {"content": [text], **meta}
        fault = CallError("bad_response", str(mismatch.args[0]), status=reply.status)
        return {"content": [*failure(fault, request_id)["content"], text], "isError": True, **meta}


def failure(fault: CallError, request_id: str) -> dict[str, Any]:
    """A result with ``isError``: the call was made, or refused, and this is what the model should know."""
    return {"content": [{"type": "text", "text": fault.line(request_id)}], "isError": True}


def contents(uri: str, reply: Reply, mime_type: str) -> list[dict[str, Any]]:
    """The contents of resources/read."""
    media = mime_type or reply.media_type or "text/plain"
    if reply.is_json or media.startswith("text/"):
        return [{"uri": uri, "mimeType": media, "text": reply.body.decode(errors="replace")}]
    return [{"uri": uri, "mimeType": media, "blob": base64.b64encode(reply.body).decode()}]


def selected(reply: Reply, wanted: Response) -> Reply:
    """The reply with that part of its JSON alone which ``select`` names. Raises CallError where it is not there."""
    if not wanted.select:
        return reply
    value = pointers.find(_parsed(reply), wanted.select)
    if value is pointers.ABSENT:
        raise CallError("bad_response", f"nothing stands at {wanted.select} of the reply", status=reply.status)
    return replace(reply, body=orjson.dumps(value))


def listed_output_schema(tool: Tool, modern: bool) -> dict[str, Any] | None:
    """The outputSchema that clients of an era see: none while it is only observed; wrapped where the result is."""
    schema = tool.output_schema
    if schema is None or tool.policy.response.on_schema_mismatch == "Observe":
        return None
    if tool.http.pagination is not None and tool.mcp is None:
        return _wrapped(schema, nextCursor={"type": "string"})
    return schema if modern or schema.get("type") == "object" else _wrapped(schema)


def _wrapped(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A schema as that of a member. An identifier of its own keeps its local references where they point to."""
    inner = {"$id": "urn:mcp:result", **schema} if b'"$ref"' in orjson.dumps(schema) else schema
    return {"type": "object", "properties": {"result": inner, **more}, "required": ["result"]}


def _shaped(reply: Reply, tool: Tool, *, modern: bool) -> dict[str, Any]:
    if not reply.body:
        return _empty(reply, tool)
    form = tool.policy.response.format
    if form == "Json" or (form == "Auto" and reply.is_json):
        return _cut_off(reply) if reply.cut is not None else _structured(reply, tool, modern=modern)
    if tool.output_schema is not None:
        raise _MismatchError("the reply is no JSON, which the outputSchema describes")
    kind = reply.media_type.partition("/")[0]
    if form == "Text" or (form == "Auto" and (kind == "text" or not reply.media_type)):
        return _cut_off(reply) if reply.cut is not None else {"content": [{"type": "text", "text": _text(reply)}]}
    if reply.cut is not None:
        raise CallError("bad_response", "the reply is too large, and bytes cannot be cut", status=reply.status)
    data = base64.b64encode(reply.body).decode()
    if kind in ("image", "audio"):
        return {"content": [{"type": kind, "data": data, "mimeType": reply.media_type}]}
    media = reply.media_type or "application/octet-stream"
    return {"content": [{"type": "resource", "resource": {"uri": "mcp://reply", "mimeType": media, "blob": data}}]}


def _empty(reply: Reply, tool: Tool) -> dict[str, Any]:
    said: dict[str, Any] = {"content": [{"type": "text", "text": f"{reply.status} No Content"}]}
    if tool.output_schema is not None:
        if not _conforms(tool.output_schema, {}):
            raise _MismatchError("the reply is empty, which the outputSchema does not allow")
        said["structuredContent"] = {}
    return said


def _cut_off(reply: Reply) -> dict[str, Any]:
    """What there is of a reply that is too long, cut between two characters."""
    text = reply.body.decode(errors="ignore")
    whole = f" of {reply.cut}" if reply.cut else ""
    line = f"[truncated at {len(text.encode())}{whole} bytes; narrow the request]"
    return {"content": [{"type": "text", "text": text}, {"type": "text", "text": line}]}


def _structured(reply: Reply, tool: Tool, *, modern: bool) -> dict[str, Any]:
    whole = _parsed(reply)
    value = pointers.find(whole, tool.policy.response.select)
    if value is pointers.ABSENT:
        raise _MismatchError(f"nothing stands at {tool.policy.response.select} of the reply")
    if tool.output_schema is not None and not _conforms(tool.output_schema, value):
        raise _MismatchError("the reply breaks the outputSchema")
    if tool.http.pagination is not None:
        return _paged(value, _next_cursor(tool.http.pagination, whole, reply))
    structured = value if modern or isinstance(value, dict) else {"result": value}
    return {"content": [{"type": "text", "text": orjson.dumps(value).decode()}], "structuredContent": structured}


def _paged(value: Any, cursor: str | None) -> dict[str, Any]:
    page = {"result": value} | ({"nextCursor": cursor} if cursor else {})
    said = [{"type": "text", "text": orjson.dumps(page).decode()}]
    if cursor:
        said.append({"type": "text", "text": "more results: pass cursor"})
    return {"content": said, "structuredContent": page}


def _next_cursor(pages: Pagination, whole: Any, reply: Reply) -> str | None:
    """Where the next page begins: at a pointer into the reply, or in the Link of relation next (RFC 8288)."""
    if pages.next_link:
        for target, parameters in _LINK.findall(reply.headers.get("link", "")):
            if re.search(r';\s*rel="?([^";]*\s)?next(\s[^";]*)?"?\s*(;|$)', parameters, re.IGNORECASE):
                return next(iter(parse_qs(urlsplit(target).query).get(pages.parameter, ())), None)
        return None
    found = pointers.find(whole, pages.next_pointer)
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    return str(found) or None


def _parsed(reply: Reply) -> Any:
    try:
        value = orjson.loads(reply.body)
    except orjson.JSONDecodeError as error:
        raise CallError("bad_response", f"the backend's JSON does not parse: {error}", status=reply.status) from error
    if _depth(value) > MAX_DEPTH:
        raise CallError("bad_response", f"the reply nests deeper than {MAX_DEPTH} levels", status=reply.status)
    return value


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level:
        nested = [item for item in level if isinstance(item, dict | list)]
        level = [child for item in nested for child in (item.values() if isinstance(item, dict) else item)]
        depth += bool(nested)
    return depth


def _text(reply: Reply) -> str:
    return reply.body.decode(errors="replace")


def _conforms(schema: dict[str, Any], value: Any) -> bool:
    return _validator(orjson.dumps(schema)).is_valid(value)


@lru_cache(maxsize=1024)
def _validator(schema: bytes) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(orjson.loads(schema), retriever=_no_retrieval)


def _no_retrieval(uri: str) -> Any:
    raise ValueError(f"{uri} is not part of the schema, and nothing is fetched")
