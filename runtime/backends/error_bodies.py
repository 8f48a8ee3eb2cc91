"""PURE. The body of a backend's 4xx reply as detail for the model: what is wrong with the request, and where.

A body in JSON stays JSON: the problem of RFC 9457 with its extensions (``errors`` of ASP.NET, ``invalid-params``),
``detail`` of FastAPI, ``errors`` of Spring, Rails and JSON:API, and any other shape. Stack traces are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from runtime.backends.http_mapping import texts

if TYPE_CHECKING:
    from runtime.http.exchange import Reply

__all__ = ["MAX_DETAIL", "detail"]

# Bytes of the detail. A model reads all of it.
MAX_DETAIL = 4096
# Bytes of a body that are read.
_MAX_READ = 65536
_MAX_DEPTH = 16
# What explains nothing to a caller, in lower case: stack traces and times (Spring, Rails, Express, ASP.NET).
_NOISE = frozenset(
    {"debuginfo", "exception", "exceptiondetails", "stack", "stacktrace", "timestamp", "trace", "traces"}
)
# Members in the order in which they are kept if the whole is too large.
_FIRST = ("title", "detail", "message", "error", "errors", "invalid-params", "invalid_params", "violations", "type")


def detail(reply: Reply) -> Any:
    """A JSON value of at most `MAX_DETAIL` bytes, or text; None for an empty body."""
    body = reply.body[:_MAX_READ]
    text = texts.decode(reply._replace(body=body)).content
    try:
        value: Any = orjson.loads(text.strip()) if len(reply.body) <= _MAX_READ else None
    except orjson.JSONDecodeError:
        value = None
    if isinstance(value, dict) and list(value) == ["detail"]:
        # FastAPI's only member.
        value = value["detail"]
    if value in ({}, []):
        return None
    if isinstance(value, dict | list) and _depth(value) <= _MAX_DEPTH:
        return _shorten(_without_noise(value) if isinstance(value, dict) else value)
    return _clean(value if isinstance(value, str) else text)


def _without_noise(value: dict[str, Any]) -> dict[str, Any]:
    return {name: child for name, child in value.items() if name.lower() not in _NOISE} or value


def _shorten(value: dict[str, Any] | list[Any]) -> Any:
    """The value if it is small enough; else its most telling members; else its text, cut."""
    if len(orjson.dumps(value)) <= MAX_DETAIL:
        return value
    if isinstance(value, dict):
        kept: dict[str, Any] = {}
        size = 2
        for name in (*(n for n in _FIRST if n in value), *(n for n in value if n not in _FIRST)):
            more = len(orjson.dumps({name: value[name]}))
            if size + more <= MAX_DETAIL:
                kept[name] = value[name]
                size += more
        if kept:
            return kept
    return _clean(orjson.dumps(value).decode())


def _clean(text: str) -> str | None:
    """The start of a text, without control characters."""
    cut = text[: 2 * MAX_DETAIL]
    clean = "".join(character if character.isprintable() or character in "\n\t" else " " for character in cut)
    return clean.strip()[:MAX_DETAIL] or None


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level and depth <= _MAX_DEPTH:
        nested = [item for item in level if isinstance(item, dict | list)]
        level = [child for item in nested for child in (item.values() if isinstance(item, dict) else item)]
        depth += bool(nested)
    return depth
