"""PURE. A backend's reply to the result of a call, in the shape of each era."""

from __future__ import annotations

import base64
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson

from runtime.backends import faults
from runtime.backends.http_mapping import json_texts, links, pointers, texts
from runtime.mcp import json_schema, numbers

if TYPE_CHECKING:
    from crd.published.entries import Pagination, Tool
    from crd.published.policy import Response
    from runtime.backends.faults import CallError
    from runtime.backends.http_mapping.texts import Text
    from runtime.http.exchange import Reply

__all__ = [
    "depth",
    "error_result",
    "find_output_faults",
    "is_expected",
    "listed_output_schema",
    "resource_contents",
    "select",
    "tool_result",
]

_JSON, _BINARY = "application/json", "application/octet-stream"
_SUCCESS = ("2xx",)
HEADERS_META = "mcp.example.com/headers"


class _MismatchError(Exception):
    """The reply does not match its tool's outputSchema or ``select``; ``args[0]`` says how."""


def is_expected(status: int, expected: tuple[str, ...]) -> bool:
    """Whether a status is one of these codes and classes (``404``, ``2xx``)."""
    if expected == _SUCCESS:
        return 200 <= status < 300
    return any(str(status) == code or (code.endswith("xx") and str(status)[0] == code[0]) for code in expected)


def tool_result(reply: Reply, tool: Tool, *, modern: bool, request_id: str) -> dict[str, Any]:
    """The result of tools/call. Raises CallError ``bad_response`` for binary content that was cut.

    A reply that is not JSON although it says so, does not match the outputSchema, or lacks the value at ``select``,
    becomes an ``isError`` result with the reply as a second text. With onSchemaMismatch Observe the reply is passed on
    as text.
    """
    policy = tool.policy.response
    meta: dict[str, Any] = {}
    if policy.headers:
        exposed = {name: reply.headers[name.lower()] for name in policy.headers if name.lower() in reply.headers}
        meta = {"_meta": {HEADERS_META: exposed}} if exposed else {}
    try:
        return {**_content(reply, tool, modern=modern), **meta}
    except _MismatchError as mismatch:
        content = _text_content(reply)
        if policy.on_schema_mismatch == "Observe":
            return {"content": content, **meta}
        fault = faults.bad_response(reply.status, str(mismatch.args[0]), idempotent=tool.idempotent)
        return {"content": [*error_result(fault, request_id)["content"], *content], "isError": True, **meta}


def error_result(fault: CallError, request_id: str) -> dict[str, Any]:
    """A tools/call result with ``isError``, which tells the model why the call failed."""
    return {"content": [{"type": "text", "text": fault.to_json(request_id)}], "isError": True}


def resource_contents(uri: str, reply: Reply, mime_type: str) -> list[dict[str, Any]]:
    """The contents of resources/read."""
    is_text = texts.is_text(reply if not mime_type else reply._replace(headers={"content-type": mime_type}))
    media = mime_type or reply.media_type or ("text/plain" if is_text else _BINARY)
    if reply.is_json or is_text:
        return [{"uri": uri, "mimeType": media, "text": texts.decode(reply).content}]
    return [{"uri": uri, "mimeType": media, "blob": base64.b64encode(reply.body).decode()}]


def select(reply: Reply, policy: Response) -> Reply:
    """The reply reduced to the value at ``select``. Raises CallError if there is none."""
    if not policy.select:
        return reply
    try:
        document, text = _parse(reply)
    except _MismatchError as mismatch:
        raise faults.bad_response(reply.status, str(mismatch.args[0]), idempotent=True) from mismatch
    value = pointers.find(document, policy.select)
    if value is pointers.ABSENT:
        message = f"the reply has no value at {policy.select}"
        raise faults.bad_response(reply.status, message, idempotent=True)
    headers = {**reply.headers, "content-type": reply.media_type or _JSON}
    return reply._replace(headers=headers, body=json_texts.render(text.content, value, policy.select).encode())


def listed_output_schema(tool: Tool, modern: bool) -> dict[str, Any] | None:
    """The outputSchema that clients of an era see. None if it is only observed; wrapped if the result is."""
    schema = tool.output_schema
    if schema is None or tool.policy.response.on_schema_mismatch == "Observe":
        return None
    if tool.http.pagination is not None and tool.mcp is None:
        return _wrap(schema, nextCursor={"type": "string"})
    return schema if modern or schema.get("type") == "object" else _wrap(schema)


def _wrap(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The schema of an object with the member ``result``. An ``$id`` keeps the local references of the schema valid."""
    inner = {"$id": "urn:mcp:result", **schema} if b'"$ref"' in orjson.dumps(schema) else schema
    return {"type": "object", "properties": {"result": inner, **more}, "required": ["result"]}


def _content(reply: Reply, tool: Tool, *, modern: bool) -> dict[str, Any]:
    """Content and structuredContent, by the response format of the tool."""
    body_format = tool.policy.response.format
    if body_format == "Auto" and reply.cut is None and reply.body[:1] in (b"{", b"[") and reply.is_json:
        return _json_content(reply, tool, modern=modern)
    is_text = texts.is_text(reply)
    may_be_blank = body_format == "Json" or (body_format != "Binary" and is_text)
    if not reply.body or (may_be_blank and texts.is_blank(reply.body)):
        result: dict[str, Any] = {"content": [{"type": "text", "text": f"{reply.status} No Content"}]}
        if tool.output_schema is not None:
            _check_output(tool.output_schema, {}, "the reply is empty and does not match the outputSchema")
            result["structuredContent"] = {}
        return result
    if body_format == "Json" or (body_format == "Auto" and (reply.is_json or _is_unlabelled_json(reply, tool))):
        return _truncated_text(reply) if reply.cut is not None else _json_content(reply, tool, modern=modern)
    if tool.output_schema is not None:
        raise _MismatchError(f"the reply must be JSON, as the outputSchema says, but is {reply.media_type or _BINARY}")
    if body_format == "Text" or (body_format == "Auto" and is_text):
        return _truncated_text(reply) if reply.cut is not None else {"content": _text_content(reply)}
    media_type = reply.media_type or _BINARY
    if reply.cut is not None:
        message = f"the reply is too large, and {media_type} cannot be truncated"
        raise faults.bad_response(reply.status, message, idempotent=tool.idempotent)
    kind = media_type.partition("/")[0]
    data = base64.b64encode(reply.body).decode()
    if kind in ("image", "audio") and not is_text:
        return {"content": [{"type": kind, "data": data, "mimeType": media_type}]}
    blob = {"uri": "mcp://reply", "mimeType": media_type, "blob": data}
    return {"content": [{"type": "resource", "resource": blob}]}


def _is_unlabelled_json(reply: Reply, tool: Tool) -> bool:
    """Whether a tool that promises JSON got it under another label: many backends call everything text/html."""
    if tool.output_schema is None or reply.cut is not None or not (texts.is_text(reply) or reply.media_type == _BINARY):
        return False
    try:
        _parse(reply)
    except _MismatchError:
        return False
    return True


def _text_content(reply: Reply) -> list[dict[str, Any]]:
    """The reply as text, and in a second text what could not be read."""
    text = texts.decode(reply)
    return [{"type": "text", "text": text.content}, *_notes(text)]


def _notes(text: Text) -> list[dict[str, Any]]:
    return [{"type": "text", "text": f"[{text.note}]"}] if text.note else []


def _truncated_text(reply: Reply) -> dict[str, Any]:
    """The start of a reply that is too long, cut between two characters."""
    text = texts.decode(reply).content
    full = f" of {reply.cut}" if reply.cut else ""
    note = f"[truncated at {len(text.encode())}{full} bytes; narrow the request]"
    return {"content": [{"type": "text", "text": text}, {"type": "text", "text": note}]}


def _json_content(reply: Reply, tool: Tool, *, modern: bool) -> dict[str, Any]:
    """Text and structuredContent, both with the digits of the backend."""
    pages = tool.http.pagination
    # Without a schema and without a cursor nothing depends on a digit, and to read all of them takes time.
    document, text = _parse(reply, exact=tool.output_schema is not None or pages is not None)
    pointer = tool.policy.response.select
    value = pointers.find(document, pointer)
    if value is pointers.ABSENT:
        raise _MismatchError(f"the reply has no value at {pointer}")
    if tool.output_schema is not None:
        _check_output(tool.output_schema, value, "the reply does not match the outputSchema")
    selected = json_texts.render(text.content, value, pointer)
    exact = orjson.Fragment(selected)
    if pages is None:
        structured = exact if modern or isinstance(value, dict) else {"result": exact}
        return {"content": [{"type": "text", "text": selected}, *_notes(text)], "structuredContent": structured}
    cursor = _next_cursor(pages, document, reply)
    page = {"result": exact} | ({"nextCursor": cursor} if cursor else {})
    more = f',"nextCursor":{orjson.dumps(cursor).decode()}' if cursor else ""
    content = [{"type": "text", "text": f'{{"result":{selected}{more}}}'}, *_notes(text)]
    if cursor:
        name = pages.cursor_argument
        declared = tool.input_schema.get("properties", {}).get(name)
        # nextCursor is a string; an author may have declared the argument as a number.
        is_number = isinstance(declared, dict) and declared.get("type") in ("integer", "number") and cursor.isdigit()
        value_of_argument = f"the number {cursor}" if is_number else "nextCursor"
        note = f"There are more results. Pass {value_of_argument} as {name}."
        content.append({"type": "text", "text": note})
    return {"content": content, "structuredContent": page}


def _next_cursor(pages: Pagination, document: Any, reply: Reply) -> str | None:
    """The cursor of the next page: from a pointer into the reply, or from the Link with relation next (RFC 8288)."""
    if pages.next_link:
        target = links.find_target(reply.headers.get("link", ""), "next")
        query = "" if target is None else target.partition("#")[0].partition("?")[2]
        return next((value for name, value in parse_qsl(query) if name == pages.parameter), None)
    cursor = pointers.find(document, pages.next_pointer)
    if isinstance(cursor, bool) or not isinstance(cursor, str | int | Decimal):
        return None
    return str(cursor) or None


def _parse(reply: Reply, *, exact: bool = False) -> tuple[Any, Text]:
    """The value of a JSON body, and its text. Raises _MismatchError.

    Numbers that a double rounds are `Decimal` if ``exact``, or if there is one that a double cannot hold at all.
    """
    text = texts.decode(reply)
    try:
        value = numbers.loads_reply(text.content, exact=exact)
    except orjson.JSONDecodeError as error:
        if "infinity" in error.msg:
            place = f"line {error.lineno} column {error.colno}"
            raise _MismatchError(f"the reply has a number of more than {numbers.MAX_DIGITS} digits: {place}") from error
        raise _MismatchError(f"the reply is not valid JSON: {error}") from error
    # Fewer brackets cannot be nested deeper.
    brackets = reply.body.count(b"[") + reply.body.count(b"{")
    if brackets > json_schema.MAX_DEPTH and depth(value) > json_schema.MAX_DEPTH:
        raise _MismatchError(f"the reply is nested deeper than {json_schema.MAX_DEPTH} levels")
    return value, text


def depth(value: Any) -> int:
    """How deeply lists and objects are nested in a value."""
    level, deepest = [value], 0
    while level:
        nested = [item for item in level if isinstance(item, dict | list)]
        level = [child for item in nested for child in (item.values() if isinstance(item, dict) else item)]
        deepest += bool(nested)
    return deepest


def find_output_faults(schema: dict[str, Any], value: Any) -> str | None:
    """Every fault of a value by an outputSchema; None if it has none."""
    return json_schema.describe_faults(_validator(orjson.dumps(schema)), value)


def _check_output(schema: dict[str, Any], value: Any, summary: str) -> None:
    """Raises _MismatchError with every fault of the value."""
    found = find_output_faults(schema, value)
    if found is not None:
        raise _MismatchError(f"{summary}: {found}")


@lru_cache(maxsize=1024)
def _validator(schema: bytes) -> json_schema.Validator:
    return json_schema.compile_schema(orjson.loads(schema))
