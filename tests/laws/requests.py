"""Where the mapping of a tool says that its arguments arrive, read from the manifest and from nothing else.

This is the oracle of the law of calls. It states the documentation of `spec.http` and shares no code with the runtime.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import jsonschema

from tests.laws.tools import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Received", "differences", "equal", "with_defaults"]

ABSENT = object()
_NOTHING: Mapping[str, Any] = {}
DELIMITERS = {"Comma": ",", "Space": " ", "Pipe": "|"}
ENCODED = {"Comma": ",", "Space": "%20", "Pipe": "%7C"}


@dataclass(frozen=True)
class Received:
    """A request as a backend received it. ``target`` is undecoded; headers are by lower-case name."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


def with_defaults(schema: Mapping[str, Any], value: Any, root: Mapping[str, Any]) -> Any:
    """The arguments with the defaults of absent properties, as far as the defaults are valid."""
    filled = dict(value)
    for name, child in resolve(schema, root).get("properties", {}).items():
        found = resolve(child, root)
        if name not in filled and isinstance(found, dict) and "default" in found:
            whole = {**found, "$defs": root.get("$defs", {})}
            if jsonschema.Draft202012Validator(whole).is_valid(found["default"]):
                filled[name] = found["default"]
        elif isinstance(filled.get(name), dict) and isinstance(found, dict):
            filled[name] = with_defaults(found, filled[name], root)
    return filled


def differences(
    spec: Mapping[str, Any], given: Mapping[str, Any], received: Received, claims: Mapping[str, Any] = _NOTHING
) -> Iterator[str]:
    """What a request lacks, or has too much, for these arguments with their defaults, and the claims of a token."""
    http = spec.get("http") or {}
    path, _, query = received.target.partition("?")
    if received.method != spec["method"]:
        yield f"method {received.method}"
    base = spec["service"]["path"].rstrip("/")
    wanted_path = base + http.get("path", "") if http.get("path") else spec["service"]["path"]
    for name, value in given.items():
        wanted_path = wanted_path.replace(f"{{{name}}}", _text(value)).replace(f"{{{name}+}}", _text(value))
    if unquote(path) != unquote(wanted_path.replace("%", "%25").replace("%257E", "%7E")):
        yield f"path {path}, not {wanted_path}"
    named = {part.partition("}")[0].rstrip("+") for part in http.get("path", "").split("{")[1:]}
    body = http.get("body")
    mode = body["mode"] if body else "Arguments" if spec["method"] in ("POST", "PUT", "PATCH") else "None"
    sources = [*http.get("query", ()), *http.get("headers", ()), *(body or {}).get("fields", ())]
    named |= {_top(each["argument"]) for each in sources if "argument" in each}
    named |= {_top(body["argument"])} if body and body.get("argument") else set()
    pages = http.get("pagination") or {}
    named |= {pages.get("cursorArgument", "cursor"), pages.get("sizeArgument")} if pages else set()
    left = {name: value for name, value in given.items() if name not in named}
    pairs = [pair for each in http.get("query", ()) for pair in _pairs(each, _source(given, each, claims))]
    pairs += _page_pairs(pages, given)
    if mode == "None":
        pairs += [pair for name, value in left.items() for pair in _pairs({"name": name}, value)]
    yield from _compare_query(pairs, query)
    for each in http.get("headers", ()):
        yield from _compare_header(each, _source(given, each, claims), received.headers.get(each["name"].lower()))
    yield from _compare_body(mode, body or {}, given, left, received, claims)


def _source(given: Mapping[str, Any], entry: Mapping[str, Any], claims: Mapping[str, Any]) -> Any:
    """The value of an entry: that of an argument, a constant, or a claim of the client's token."""
    if "argument" in entry:
        return _find(given, entry["argument"])
    return entry["value"] if "value" in entry else claims[entry["claim"]]


def _page_pairs(pages: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """The parameters of a paged tool: its cursor, and its page size, which is at most the largest one."""
    if pages and (cursor := given.get(pages.get("cursorArgument", "cursor"))) is not None:
        yield pages["parameter"], cursor, ""
    if "sizeArgument" in pages and (size := given.get(pages["sizeArgument"])) is not None:
        yield pages["sizeParameter"], min(size, pages["maxSize"]) if "maxSize" in pages else size, ""


def _pairs(entry: Mapping[str, Any], value: Any) -> Iterator[tuple[str, Any, str]]:
    """The parameters of an entry: name, value, and the delimiter of a joined list, ``Json`` or nothing."""
    style, name = entry.get("style", "Repeat"), entry["name"]
    if value is ABSENT or value is None or (entry.get("omitEmpty", True) and value in ("", [], {})):
        return
    if style == "Json":
        yield name, value, "Json"
    elif isinstance(value, dict) and style == "DeepObject":
        for key, child in value.items():
            member = {"name": f"{name}[{key}]", "style": "DeepObject", "omitEmpty": False}
            yield from _pairs(member, child)
    elif isinstance(value, list) and style in ("Repeat", "DeepObject"):
        yield from ((name, item, "") for item in value if item is not None)
    elif isinstance(value, list):
        yield name, [item for item in value if item is not None], ENCODED[style]
    else:
        yield name, value, ""


def _compare_query(wanted: list[tuple[str, Any, str]], query: str) -> Iterator[str]:
    sent = [(unquote(name), value) for name, _, value in (part.partition("=") for part in query.split("&") if part)]
    if [name for name, _ in sent] != [name for name, _, _ in wanted]:
        yield f"query {query}, not {wanted}"
        return
    for (name, raw), (_, value, how) in zip(sent, wanted, strict=True):
        if how and how != "Json":
            texts = raw.split(how) if value else [raw] if raw else []
            if len(texts) != len(value) or not all(map(_is_text, map(unquote, texts), value)):
                yield f"query {name}={raw}, not {value}"
        elif not (equal(_loads(unquote(raw)), value) if how else _is_text(unquote(raw), value)):
            yield f"query {name}={raw}, not {value!r}"


def _compare_header(entry: Mapping[str, Any], value: Any, sent: str | None) -> Iterator[str]:
    style = entry.get("style", "Repeat")
    items = [item for item in value if item is not None] if isinstance(value, list) and style != "Json" else None
    is_empty = items == [] or value in ("", [], {})
    if value is ABSENT or value is None or (is_empty and entry.get("omitEmpty", True)):
        if sent is not None:
            yield f"header {entry['name']}: {sent}, but there is no value"
    elif sent is None:
        yield f"no header {entry['name']} for {value!r}"
    elif style == "Json":
        if not equal(_loads(sent), value):
            yield f"header {sent}, not {value!r}"
    elif items is not None:
        texts = sent.split(DELIMITERS.get(style, ",")) if items else [sent] if sent else []
        nested = any(isinstance(item, list | dict) for item in items)
        if not nested and (len(texts) != len(items) or not all(map(_is_text, texts, items))):
            yield f"header {sent}, not {value!r}"
    elif not _is_text(sent, value):
        yield f"header {sent}, not {value!r}"


def _compare_body(
    mode: str,
    body: Mapping[str, Any],
    given: Mapping[str, Any],
    left: Mapping[str, Any],
    received: Received,
    claims: Mapping[str, Any],
) -> Iterator[str]:
    sent, media = received.body, received.headers.get("content-type", "")
    one = _find(given, body["argument"]) if body.get("argument") else ABSENT
    fields = [(each["name"], _source(given, each, claims)) for each in body.get("fields", ())]
    match mode:
        case "None":
            wanted: Any = b""
        case "Arguments":
            wanted = left
        case "Argument":
            wanted = one if one is not ABSENT else b""
        case "Fields":
            wanted = {}
            for name, value in fields:
                if value is not ABSENT:
                    place = wanted
                    *parents, last = name.split("/")[1:] if name.startswith("/") else [name]
                    for parent in parents:
                        place = place.setdefault(parent, {})
                    place[last] = value
        case "Raw":
            text = one if isinstance(one, str) else ""
            wanted = base64.b64decode(text) if body.get("encoding") else text.encode()
        case _:
            entries = body.get("fields") or [{"name": name} for name in left]
            held = [value for _, value in fields] or [*left.values()]
            if mode == "Form":
                yield from _compare_form([*zip(entries, held, strict=True)], sent.decode())
            else:
                yield from _compare_parts([*zip(entries, held, strict=True)], [*_parts(media, sent)])
            return
    if isinstance(wanted, bytes):
        if sent != wanted:
            yield f"body {sent!r}, not {wanted!r}"
    elif not equal(_loads(sent.decode()), wanted):
        yield f"body {sent!r}, not {wanted!r}"


def _compare_form(wanted: list[tuple[Mapping[str, Any], Any]], sent: str) -> Iterator[str]:
    """A field is written as a query parameter is, but an empty text is sent."""
    pairs: list[tuple[str, Any, str]] = []
    for field, value in wanted:
        is_sent = value == "" or (field.get("style") == "Json" and value in ([], {}))
        pairs += _pairs({**field, "omitEmpty": not is_sent}, value)
    yield from _compare_query(pairs, sent)


def _compare_parts(wanted: list[tuple[Mapping[str, Any], Any]], found: list[tuple[str, str]]) -> Iterator[str]:
    pairs: list[tuple[str, Any, bool]] = []
    for field, value in wanted:
        is_json = field.get("style") == "Json"
        items = value if isinstance(value, list) and not is_json else [value]
        pairs += [(field["name"], item, is_json) for item in items if item is not None and item is not ABSENT]
    if len(found) != len(pairs) or not all(
        name == there and (equal(_loads(text), item) if is_json else _is_text(text, item))
        for (name, item, is_json), (there, text) in zip(pairs, found, strict=True)
    ):
        yield f"Multipart {found!r}, not {pairs}"


def _parts(media: str, body: bytes) -> Iterator[tuple[str, str]]:
    """The names and texts of the parts of a multipart body (RFC 7578)."""
    boundary = b"--" + media.partition("boundary=")[2].encode()
    for part in body.split(boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode()
        yield unquote(name) if "%" in name else name, content.removesuffix(b"\r\n").decode()


def equal(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON value; numbers by their value, whatever their notation."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool) or not _is_number(one) or not _is_number(other):
        return type(one) is type(other) and one == other
    return Decimal(str(one)) == Decimal(str(other))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal)


def _is_text(text: str, value: Any) -> bool:
    """Whether a text is the value: a string as it is, a number without a fraction if it has none, the rest as JSON."""
    if isinstance(value, str):
        return text == value
    if isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer():
        return text.removeprefix("-").isdecimal() and Decimal(text) == Decimal(str(value))
    return equal(_loads(text), value)


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_float=_exact)
    except ValueError:
        return ABSENT


def _exact(text: str) -> Decimal:
    assert float(text) % 1 or abs(float(text)) < 1e-300, f"{text} is an integer with a fraction"
    return Decimal(text)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value)


def _find(given: Any, source: str) -> Any:
    steps = [step.replace("~1", "/").replace("~0", "~") for step in source.split("/")[1:]]
    for step in steps if source.startswith("/") else [source]:
        given = given.get(step, ABSENT) if isinstance(given, dict) else ABSENT
    return given


def _top(source: str) -> str:
    return source.split("/")[1].replace("~1", "/").replace("~0", "~") if source.startswith("/") else source
