"""PURE. From a backend's reply to the result of a call, in the words of each era."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import orjson

from runtime.faults import CallError

__all__ = ["Reply", "contents", "failure", "success"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a backend answered, read to its end."""

    status: int
    content_type: str
    body: bytes
    retry_after: str | None = None

    @property
    def media_type(self) -> str:
        """Without parameters, in lower case."""
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def is_json(self) -> bool:
        """``*/json`` or ``*/*+json``."""
        return self.media_type.endswith(("/json", "+json"))


def success(reply: Reply, *, modern: bool) -> dict[str, Any]:
    """The result of tools/call. JSON that is no object is wrapped for older clients, whose schema wants one.

    Raises CallError ``bad_response`` for JSON that is none.
    """
    if not reply.body:
        return {"content": [{"type": "text", "text": "204 No Content"}]}
    if reply.is_json:
        value = _parsed(reply)
        structured = value if modern or isinstance(value, dict) else {"result": value}
        return {"content": [{"type": "text", "text": orjson.dumps(value).decode()}], "structuredContent": structured}
    kind = reply.media_type.partition("/")[0]
    if kind in ("image", "audio"):
        data = base64.b64encode(reply.body).decode()
        return {"content": [{"type": kind, "data": data, "mimeType": reply.media_type}]}
    if kind == "text" or not reply.media_type:
        return {"content": [{"type": "text", "text": reply.body.decode(errors="replace")}]}
    resource = {"uri": "mcp://reply", "mimeType": reply.media_type, "blob": base64.b64encode(reply.body).decode()}
    return {"content": [{"type": "resource", "resource": resource}]}


def failure(fault: CallError, request_id: str) -> dict[str, Any]:
    """A result with ``isError``: the call was made, or refused, and this is what the model should know."""
    return {"content": [{"type": "text", "text": fault.line(request_id)}], "isError": True}


def contents(uri: str, reply: Reply, mime_type: str) -> list[dict[str, Any]]:
    """The contents of resources/read."""
    media = mime_type or reply.media_type or "text/plain"
    if reply.is_json or media.startswith("text/"):
        return [{"uri": uri, "mimeType": media, "text": reply.body.decode(errors="replace")}]
    return [{"uri": uri, "mimeType": media, "blob": base64.b64encode(reply.body).decode()}]


def _parsed(reply: Reply) -> Any:
    try:
        return orjson.loads(reply.body)
    except orjson.JSONDecodeError as error:
        raise CallError("bad_response", f"the backend's JSON does not parse: {error}", status=reply.status) from error
