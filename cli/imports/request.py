"""PURE. How the arguments of a tool become the request of an operation: path, query, headers and body."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from cli.imports import texts
from cli.imports.description import UnusableError, mapping
from cli.imports.schemas import SCALARS
from crd.published.headers import FORBIDDEN_HEADERS, HEADER_VALUE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cli.imports.description import Description, Operation
    from cli.imports.schemas import Schemas

__all__ = ["CannotMapError", "Request", "map_request"]

MAX_QUERY, MAX_HEADERS, MAX_FIELDS = 64, 32, 64
_FORBIDDEN = re.compile(FORBIDDEN_HEADERS)
# OpenAPI 3: parameters of these names are ignored, because other parts of a description say the same.
_IGNORED_HEADERS = ("accept", "content-type", "authorization")
_HEADER_VALUE = re.compile(HEADER_VALUE)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_PLACEHOLDER = re.compile(r"\{([^{}/]*)\}")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(;[ -~]*)?")
_JSON = re.compile(r"application/([a-z0-9!#$&^_.-]+\+)?json")
_PATH_CHARACTERS = "/~!$&'()*+,;=:@%"
_FLAT = frozenset({"type", "properties", "required", "description", "additionalProperties"})
_BODY = "The body of the request."
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


class CannotMapError(Exception):
    """An operation that no mapping of a tool can call; the message says why."""


@dataclass(slots=True)
class Request:
    """The mapping of an operation while it is built: the arguments, the entries, and what had to be left out."""

    method: str
    arguments: dict[str, dict[str, Any]] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    nodes: int = 0
    open: bool = False
    path: str = ""
    query: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, Any]] = field(default_factory=list)
    body: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, schema: dict[str, Any], *, required: bool, description: str = "") -> str:
        """Declare an argument and return its name."""
        argument = texts.argument_name(name, self.arguments)
        if description and "description" not in schema:
            schema = {**schema, "description": description}
        self.arguments[argument] = schema
        if required:
            self.required.append(argument)
        return argument

    @property
    def http(self) -> dict[str, Any]:
        """The field ``spec.http``."""
        made: dict[str, Any] = {}
        if self.path:
            made["path"] = self.path
        if self.query:
            made["query"] = self.query
        if self.headers:
            made["headers"] = self.headers
        if self.body is not None:
            made["body"] = self.body
        return made


def map_request(
    description: Description, operation: Operation, schemas: Schemas, credentials: frozenset[tuple[str, str]]
) -> Request:
    """The mapping of an operation. Parameters among the ``credentials`` (place and name) do not become arguments.

    Raises CannotMapError.
    """
    made = Request(operation.method, notes=[*operation.faults])
    _Parameters(operation, schemas, made, credentials).map()
    _Body(description, operation, schemas, made).map()
    return made


class _Parameters:
    def __init__(
        self, operation: Operation, schemas: Schemas, made: Request, credentials: frozenset[tuple[str, str]]
    ) -> None:
        self._operation = operation
        self._schemas = schemas
        self._made = made
        self._credentials = credentials

    def map(self) -> None:
        places: dict[str, list[Mapping[str, Any]]] = {"path": [], "query": [], "header": [], "cookie": []}
        for parameter in self._operation.parameters:
            if (parameter["in"], parameter["name"].lower()) not in self._credentials:
                places[parameter["in"]].append(parameter)
        self._path(places["path"])
        for parameter in _required_first(places["query"]):
            self._query(parameter)
        for parameter in _required_first(places["header"]):
            self._header(parameter)
        for parameter in places["cookie"]:
            name = parameter["name"]
            if parameter.get("required") is True:
                raise CannotMapError(f'the cookie "{name}" is required, and a tool sends no cookies from arguments')
            self._made.notes.append(f'the cookie "{name}" is left out: a tool sends no cookies from arguments')

    def _path(self, parameters: list[Mapping[str, Any]]) -> None:
        known = {parameter["name"]: parameter for parameter in parameters}
        path, _, fragment = self._operation.path.partition("#")
        path, _, query = path.partition("?")
        if fragment:
            self._made.notes.append(f'the fragment "#{fragment[:100]}" of the path is not sent')
        for name, value in parse_qsl(query, keep_blank_values=True)[:MAX_QUERY]:
            if "{" not in value and value:
                self._made.query.append({"name": name, "value": value[:1024]})
        written, position = [], 0
        names: dict[str, str] = {}
        for match in _PLACEHOLDER.finditer(path):
            written.append(_escape(path[position : match.start()]))
            position = match.end()
            name = match[1].strip().removeprefix("+").removesuffix("+").removesuffix("*")
            spans = "+" in match[1]
            if not name:
                raise CannotMapError(f"the path {path[:200]} has a placeholder without a name")
            if name not in names:
                names[name] = self._path_argument(name, known.get(match[1]) or known.get(name))
            written.append(f"{{{names[name]}{'+' if spans else ''}}}")
        written.append(_escape(path[position:]))
        self._made.path = "".join(written)
        if self._made.path == "/":
            self._made.path = ""
        if len(self._made.path) > 1024:
            raise CannotMapError("the path has more than 1024 characters")
        for name in known.keys() - names.keys() - {f"{name}+" for name in names} - {f"+{name}" for name in names}:
            self._made.notes.append(f'the path parameter "{name}" is left out: the path has no {{{name}}}')

    def _path_argument(self, name: str, parameter: Mapping[str, Any] | None) -> str:
        if parameter is None:
            self._made.notes.append(f"the path has {{{name}}}, which the description does not declare; it is a string")
            return self._made.add(name, {"type": "string"}, required=True)
        schema = _without_null(self._schema(parameter))
        types = self._schemas.types(schema)
        if not types <= SCALARS:
            if types & {"array", "object"} and len(types) < 6:
                self._made.notes.append(f'the path parameter "{name}" is a string: write lists as a,b,c')
            schema = {"type": "string"}
        return self._made.add(name, schema, required=True, description=_text_of(parameter))

    def _schema(self, parameter: Mapping[str, Any]) -> dict[str, Any]:
        given = parameter.get("schema")
        if given is None:
            content = mapping(parameter.get("content"))
            first = next(iter(content.values()), None)
            given = mapping(first).get("schema")
        if given is None:
            return {"type": "string"}
        converted = self._schemas.convert(given)
        self._take(converted)
        return converted.schema

    def _take(self, converted: Any) -> None:
        self._made.references += converted.references
        self._made.nodes += converted.nodes
        self._made.notes += converted.notes

    def _query(self, parameter: Mapping[str, Any]) -> None:
        name, is_required = parameter["name"], parameter.get("required") is True
        if len(self._made.query) >= MAX_QUERY or len(name) > 128:
            self._leave_out(parameter, f"a tool has at most {MAX_QUERY} query parameters, with names up to 128 letters")
            return
        if any(entry["name"] == name and "value" in entry for entry in self._made.query):
            return  # the path sets it
        schema = _without_null(self._schema(parameter))
        style, explode = _style(parameter, "form")
        if isinstance(parameter.get("content"), dict) and "schema" not in parameter:
            argument = self._made.add(name, schema, required=is_required, description=_text_of(parameter))
            self._made.query.append({"name": name, "argument": argument, "style": "Json"})
            return
        constant = _constant(schema) if is_required else None
        if constant is not None:
            self._made.query.append({"name": name, "value": constant})
            return
        types = self._schemas.types(schema)
        if types == {"object"} and style == "form" and self._expand(parameter, schema, explode):
            return
        entry_style = None
        if "object" in types and style == "deepObject":
            entry_style = "DeepObject"
        elif "object" in types or not types:
            if types & {"object", "array"} and len(types) < 6:
                self._made.notes.append(f'the query parameter "{name}" is a string: its style is not supported')
            schema = {"type": "string"}
        elif "array" in types:
            entry_style = _list_style(style, explode=explode)
            schema = _plain_items(self._schemas, self._made, name, schema, required=is_required)
        argument = self._made.add(name, schema, required=is_required, description=_text_of(parameter))
        entry = {"name": name, "argument": argument}
        if entry_style not in (None, "Repeat"):
            entry["style"] = entry_style
        if parameter.get("allowEmptyValue") is True:
            entry["omitEmpty"] = False
        self._made.query.append(entry)

    def _expand(self, parameter: Mapping[str, Any], schema: dict[str, Any], explode: bool) -> bool:
        """Map an object of style form, exploded: each of its members is a query parameter of its own."""
        members = self._schemas.behind(schema).get("properties")
        if not explode or not isinstance(members, dict) or not members:
            return False
        if not all(self._schemas.types(each) <= SCALARS for each in members.values()):
            return False
        if len(self._made.query) + len(members) > MAX_QUERY:
            return False
        argument = self._made.add(
            parameter["name"], schema, required=parameter.get("required") is True, description=_text_of(parameter)
        )
        for member in members:
            pointer = f"/{argument}/{member.replace('~', '~0').replace('/', '~1')}"
            self._made.query.append({"name": member, "argument": pointer})
        return True

    def _header(self, parameter: Mapping[str, Any]) -> None:
        name = parameter["name"]
        if name.lower() in _IGNORED_HEADERS:
            if name.lower() == "authorization":
                self._made.notes.append('the header "Authorization" is left out: set spec.headersFrom for credentials')
            return
        if _FORBIDDEN.fullmatch(name.lower()) or not _HEADER_NAME.fullmatch(name):
            self._leave_out(parameter, "a tool must not set this header from an argument")
            return
        if len(self._made.headers) >= MAX_HEADERS:
            self._leave_out(parameter, f"a tool has at most {MAX_HEADERS} headers")
            return
        if any(entry["name"].lower() == name.lower() for entry in self._made.headers):
            self._leave_out(parameter, "another parameter sets the same header")
            return
        schema = _without_null(self._schema(parameter))
        constant = _constant(schema) if parameter.get("required") is True else None
        if constant is not None and _HEADER_VALUE.fullmatch(constant):
            self._made.headers.append({"name": name, "value": constant})
            return
        types = self._schemas.types(schema)
        entry: dict[str, Any] = {"name": name}
        if isinstance(parameter.get("content"), dict) and "schema" not in parameter:
            entry["style"] = "Json"
        elif "object" in types:
            if types == {"object"}:
                self._made.notes.append(f'the header "{name}" is a string: write objects as the API expects them')
            schema = {"type": "string"}
        elif "array" in types:
            entry["style"] = "Comma"
            schema = _plain_items(self._schemas, self._made, name, schema, required=parameter.get("required") is True)
        is_required = parameter.get("required") is True
        entry["argument"] = self._made.add(name, schema, required=is_required, description=_text_of(parameter))
        self._made.headers.append(entry)

    def _leave_out(self, parameter: Mapping[str, Any], why: str) -> None:
        what = f'the {parameter["in"]} parameter "{parameter["name"][:80]}"'
        if parameter.get("required") is True:
            raise CannotMapError(f"{what} is required, but {why}")
        self._made.notes.append(f"{what} is left out: {why}")


class _Body:
    def __init__(self, description: Description, operation: Operation, schemas: Schemas, made: Request) -> None:
        self._description = description
        self._operation = operation
        self._schemas = schemas
        self._made = made

    def map(self) -> None:
        given = self._operation.content.get("requestBody")
        content: Mapping[str, Any] = {}
        body: Mapping[str, Any] = {}
        if given is not None:
            try:
                body = self._description.resolve(given)
                content = mapping(body.get("content"))
            except UnusableError as error:
                self._made.notes.append(f"the request body is left out: {error}")
        media = _choose(content)
        if media is None:
            if content:
                self._made.notes.append("the request body is left out: it has no valid media type")
            if self._made.method in ("POST", "PUT", "PATCH"):
                self._made.body = {"mode": "None"}
            return
        if self._made.method == "GET":
            if body.get("required") is True:
                raise CannotMapError("a GET request with a required body: a tool sends no body with GET")
            self._made.notes.append("the request body is left out: a tool sends no body with GET")
            return
        is_required = body.get("required") is True
        kind = media.partition(";")[0].strip().lower()
        schema = mapping(content[media]).get("schema")
        description = texts.shorten(texts.clean(body.get("description")))
        if _JSON.fullmatch(kind):
            self._json(media, kind, schema, required=is_required, description=description)
        elif kind in ("application/x-www-form-urlencoded", "multipart/form-data") and schema is not None:
            self._form(media, kind, schema, mapping(mapping(content[media]).get("encoding")), required=is_required)
        else:
            self._raw(media, schema, required=is_required, description=description)

    def _json(self, media: str, kind: str, given: Any, *, required: bool, description: str) -> None:
        converted = self._schemas.convert(given if given is not None else True)
        self._made.references += converted.references
        self._made.nodes += converted.nodes
        self._made.notes += converted.notes
        body: dict[str, Any] = {}
        node = self._schemas.behind(converted.schema)
        members = node.get("properties")
        if (
            isinstance(members, dict)
            and members
            and self._schemas.types(node) == {"object"}
            and (required or not node.get("required"))
            and "null" not in _listed_types(node)
            and node.keys() <= _FLAT
        ):
            body = self._flatten(node, members)
        if not body:
            # Without a description, a model would guess from the name.
            described = description or ("" if self._schemas.behind(converted.schema).get("description") else _BODY)
            argument = self._made.add("body", converted.schema, required=required, description=described)
            body = {"mode": "Argument", "argument": argument}
        if kind != "application/json" or ";" in media:
            body["contentType"] = media
        self._made.body = body

    def _flatten(self, node: Mapping[str, Any], members: Mapping[str, Any]) -> dict[str, Any]:
        """The members of the body as arguments; nothing if they cannot be."""
        is_open = isinstance(node.get("additionalProperties"), dict)
        required = set(node.get("required", ()))
        if any(name in self._made.arguments or not _ARGUMENT.fullmatch(name) for name in members):
            if is_open or len(members) > MAX_FIELDS or any(len(name) > 200 for name in members):
                return {}
            fields = []
            for name, child in members.items():
                argument = self._made.add(name, dict(child), required=name in required)
                written = f"/{name.replace('~', '~0').replace('/', '~1')}" if name.startswith("/") else name
                fields.append({"name": written, "argument": argument})
            return {"mode": "Fields", "fields": fields}
        if not required <= members.keys():
            return {}
        for name, child in members.items():
            self._made.arguments[name] = dict(child)
            if name in required:
                self._made.required.append(name)
        self._made.open = is_open
        return {"mode": "Arguments"}

    def _form(self, media: str, kind: str, given: Any, encoding: Mapping[str, Any], *, required: bool) -> None:
        converted = self._schemas.convert(given)
        node = self._schemas.behind(converted.schema)
        members = node.get("properties")
        if not isinstance(members, dict) or not members:
            self._raw(media, given, required=required, description="")
            return
        is_multipart = kind.startswith("multipart")
        wanted = set(node.get("required", ())) if required else set()
        fields: list[tuple[str, dict[str, Any], dict[str, Any], bool]] = []
        left_out: list[str] = []
        for name, child in sorted(members.items(), key=lambda item: item[0] not in wanted):
            told = mapping(encoding.get(name))
            found = (self._part if is_multipart else self._field)(name, child, told, name in wanted)
            if found is None or len(fields) >= MAX_FIELDS or len(name) > 256:
                if name in wanted:
                    self._raw(media, given, required=required, description="")
                    return
                left_out.append(name)
            else:
                fields.append((name, *found, name in wanted))
        if not fields:
            self._raw(media, given, required=required, description="")
            return
        self._made.references += converted.references
        self._made.nodes += converted.nodes
        self._made.notes += converted.notes
        entries = []
        for name, schema, more, is_wanted in fields:
            argument = self._made.add(name, schema, required=is_wanted)
            entries.append({"name": name, "argument": argument, **more})
        for name in left_out:
            self._made.notes.append(f'the field "{name[:80]}" of the form is left out: {_why_no_field(name, fields)}')
        self._made.body = {"mode": "Multipart" if is_multipart else "Form", "fields": entries}

    def _field(
        self, name: str, child: dict[str, Any], encoding: Mapping[str, Any], is_wanted: bool
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The schema of a field's argument, and its style; None if a form cannot carry it.

        Without a style, an object is JSON, as newer editions of OpenAPI 3.0 and 3.1 say.
        """
        types = self._schemas.types(child)
        if types <= SCALARS:
            return _without_null(child), {}
        if len(types) >= 6:
            return {"type": "string", **self._described(child)}, {}
        style, explode = _style(encoding, "form")
        is_styled = "style" in encoding or "explode" in encoding
        if "object" in types and style == "deepObject":
            return _without_null(child), {"style": "DeepObject"}
        if ("object" in types or _is_json(encoding)) and not is_styled:
            return _without_null(child), {"style": "Json"}
        if "object" in types:
            return None
        schema = _plain_items(self._schemas, self._made, name, _without_null(child), required=is_wanted)
        listed = _list_style(style, explode=explode)
        return schema, {} if listed == "Repeat" else {"style": listed}

    def _part(
        self, name: str, child: dict[str, Any], encoding: Mapping[str, Any], is_wanted: bool
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The schema of the argument of a part, or of several parts, and what its entry has besides."""
        node, types = self._schemas.behind(child), self._schemas.types(child)
        about, items = self._described(child), node.get("items")
        several = _not_empty(self._schemas, child) if is_wanted else child
        items = items if types == {"array"} and isinstance(items, dict) and not _is_json(encoding) else {}
        more: dict[str, Any] = {}
        media = encoding.get("contentType")
        if isinstance(media, str) and _MEDIA_TYPE.fullmatch(media) and len(media) <= 128:
            more["mediaType"] = media
        if _is_binary(node) or (items and _is_binary(self._schemas.behind(items))):
            text = f"{about.get('description', '')} The content as base64.".strip()
            file = re.sub(r"[^A-Za-z0-9 ._-]+", "_", name)[:100] or "file"
            schema: dict[str, Any] = {"type": "string"}
            if items:
                schema = {"type": "array", "items": schema, **({"minItems": 1} if is_wanted else {})}
            return {**schema, "description": text}, {**more, "fileName": file, "encoding": "Base64"}
        if types <= SCALARS:
            return _without_null(child), more
        if len(types) >= 6:
            return {"type": "string", **about}, more
        if items and self._schemas.types(items) <= SCALARS:
            return _without_null(several), more
        if items and self._schemas.types(items) == {"object"}:
            return _without_null(several), {"mediaType": "application/json", **more}
        return _without_null(child), {"style": "Json", "mediaType": "application/json", **more}

    def _described(self, child: dict[str, Any]) -> dict[str, Any]:
        node = self._schemas.behind(child)
        return {"description": node["description"]} if "description" in node else {}

    def _raw(self, media: str, given: Any, *, required: bool, description: str) -> None:
        """One text, or base64 for bytes, as the whole body."""
        kind = media.partition(";")[0].strip().lower()
        is_text = (
            kind.startswith("text/")
            or kind.endswith(("+xml", "/xml", "+yaml", "/yaml", "json", "-www-form-urlencoded"))
            or "javascript" in kind
            or "graphql" in kind
        )
        content_type = "application/octet-stream" if "*" in media else media
        what = f"The body as {content_type}" if is_text else f"The body ({content_type}) as base64"
        schema = {"type": "string", "description": f"{description} {what}.".strip()}
        argument = self._made.add("body", schema, required=required)
        self._made.body = {"mode": "Raw", "argument": argument, "contentType": content_type}
        if not is_text:
            self._made.body["encoding"] = "Base64"
        if given is not None and is_text and not kind.startswith("text/plain"):
            self._made.notes.append(f"the body is one text of type {kind}: its fields are not arguments")


def _plain_items(
    schemas: Schemas, made: Request, name: str, schema: dict[str, Any], *, required: bool
) -> dict[str, Any]:
    """The schema of a list in a query, a header or a form: its items are scalars, or texts.

    A required one has an item: an empty list would leave the parameter out.
    """
    node = schemas.behind(schema)
    if required:
        schema, node = _not_empty(schemas, schema), _not_empty(schemas, dict(node))
    items = node.get("items")
    if isinstance(items, dict) and items and schemas.types(items) <= SCALARS:
        return schema
    if isinstance(items, dict) and schemas.types(items) & {"array", "object"} and len(items):
        made.notes.append(f'the items of "{name}" are strings: write objects and lists as JSON')
    kept = {key: value for key, value in node.items() if key in ("description", "minItems", "maxItems")}
    return {"type": "array", "items": {"type": "string"}, **kept}


def _not_empty(schemas: Schemas, schema: dict[str, Any]) -> dict[str, Any]:
    return schema if schemas.behind(schema).get("minItems") else {**schema, "minItems": 1}


def _list_style(style: str, *, explode: bool) -> str:
    """The style of a list, by that of OpenAPI."""
    kinds = {"spaceDelimited": "Space", "pipeDelimited": "Pipe", "form": "Repeat" if explode else "Comma"}
    return kinds.get(style, "Repeat" if explode else "Comma")


def _choose(content: Mapping[str, Any]) -> str | None:
    """The media type to send: JSON before forms, and forms before everything else."""

    def rank(media: str) -> tuple[int, int]:
        kind = media.partition(";")[0].strip().lower()
        order = (kind == "application/json", bool(_JSON.fullmatch(kind)), kind.endswith("form-urlencoded"),
                 kind == "multipart/form-data", kind.startswith("text/"))  # fmt: skip
        return order.index(True) if True in order else len(order), len(media)

    usable = [media for media in content if _MEDIA_TYPE.fullmatch(media) and len(media) <= 128]
    if not usable and "*/*" in content:
        return "*/*"
    return min(usable, key=rank, default=None)


def _is_binary(node: Mapping[str, Any]) -> bool:
    return node.get("format") in ("binary", "base64", "byte")


def _is_json(encoding: Mapping[str, Any]) -> bool:
    media = encoding.get("contentType")
    return isinstance(media, str) and _JSON.fullmatch(media) is not None


def _required_first(parameters: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    yield from sorted(parameters, key=lambda parameter: parameter.get("required") is not True)


def _style(parameter: Mapping[str, Any], default: str) -> tuple[str, bool]:
    style = parameter.get("style")
    style = style if isinstance(style, str) else default
    explode = parameter.get("explode")
    return style, explode if isinstance(explode, bool) else style == "form"


def _text_of(parameter: Mapping[str, Any]) -> str:
    return texts.shorten(texts.clean(parameter.get("description")))


def _listed_types(node: Mapping[str, Any]) -> list[str]:
    stated = node.get("type")
    return stated if isinstance(stated, list) else [str(stated)]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that does not allow null at its root: where there are no nulls, an argument is left out instead."""
    made = dict(schema)
    stated = made.get("type")
    if isinstance(stated, list):
        rest = [each for each in stated if each != "null"]
        if rest:
            made["type"] = rest[0] if len(rest) == 1 else rest
    if isinstance(made.get("enum"), list):
        values = [value for value in made["enum"] if value is not None]
        if values:
            made["enum"] = values
    for keyword in ("anyOf", "oneOf"):
        parts = made.get(keyword)
        if isinstance(parts, list):
            rest = [part for part in parts if part != {"type": "null"}]
            if len(rest) == 1:
                del made[keyword]
                made = {**rest[0], **made}
            elif rest:
                made[keyword] = rest
    return made


def _constant(schema: Mapping[str, Any]) -> str | None:
    """The only text that a schema allows, if there is one: the model has nothing to choose."""
    values = schema.get("enum")
    if isinstance(values, list) and len(values) == 1 and isinstance(values[0], str) and 0 < len(values[0]) <= 1024:
        return values[0]
    return None


def _escape(text: str) -> str:
    """Literal text of a path: ASCII, with everything else as %XX."""
    return quote(text.replace("%", "%25") if re.search(r"%(?![0-9A-Fa-f]{2})", text) else text, safe=_PATH_CHARACTERS)


def _why_no_field(name: str, fields: list[Any]) -> str:
    if len(fields) >= MAX_FIELDS or len(name) > 256:
        return f"a form has at most {MAX_FIELDS} fields, with names up to 256 letters"
    return "an object needs style deepObject, or no style"
