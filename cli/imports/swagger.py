"""PURE. A Swagger 2.0 description as OpenAPI 3.0, in one pass over the parts that an import reads.

What 3.0 cannot say keeps its place under a name that the importer does not know, so it becomes a note of its operation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["modernize"]

METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
# Deeper values are left as they are; the importer refuses schemas long before.
MAX_LEVELS = 200
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
_REFERENCES = (
    ("#/definitions/", "#/components/schemas/"),
    ("#/responses/", "#/components/responses/"),
)
# Members of a parameter or header that are a schema in 3.0.
_SCHEMA = (
    "default", "enum", "exclusiveMaximum", "exclusiveMinimum", "format", "items", "maxItems", "maxLength", "maximum",
    "minItems", "minLength", "minimum", "multipleOf", "pattern", "type", "uniqueItems",
)  # fmt: skip
_STYLES: dict[str, dict[str, Any]] = {
    "csv": {"style": "form", "explode": False},
    "multi": {"style": "form", "explode": True},
    "ssv": {"style": "spaceDelimited", "explode": False},
    "pipes": {"style": "pipeDelimited", "explode": False},
    "tsv": {"style": "tabDelimited", "explode": False},
}
_FLOWS = {"application": "clientCredentials", "accessCode": "authorizationCode"}


def modernize(content: Mapping[str, Any]) -> dict[str, Any]:
    """The description as OpenAPI 3.0. Members of a wrong type are left out, or left for the importer to report."""
    return _Swagger(content).convert()


class _Swagger:
    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content
        self._consumes = _texts(content.get("consumes"))
        self._produces = _texts(content.get("produces"))
        self._parameters = _mapping(content.get("parameters"))

    def convert(self) -> dict[str, Any]:
        given = self._content
        made: dict[str, Any] = {"openapi": "3.0.3", "info": given.get("info", {}), "servers": [{"url": self._url()}]}
        made |= {name: given[name] for name in ("tags", "security") if name in given}
        made["paths"] = {path: self._path(item) for path, item in _mapping(given.get("paths")).items()}
        responses = _mapping(given.get("responses"))
        made["components"] = {
            "schemas": {name: _schema(node, 0) for name, node in _mapping(given.get("definitions")).items()},
            "responses": {name: self._response(node, self._produces) for name, node in responses.items()},
            "securitySchemes": {
                name: _security(node) for name, node in _mapping(given.get("securityDefinitions")).items()
            },
        }
        return made

    def _url(self) -> str:
        schemes, host, base = (
            _texts(self._content.get("schemes")),
            self._content.get("host"),
            self._content.get("basePath"),
        )
        path = base if isinstance(base, str) else "/"
        return f"{schemes[0] if schemes else 'http'}://{host}{path}" if isinstance(host, str) else path

    def _path(self, item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        if isinstance(item.get("$ref"), str):
            return {"$ref": item["$ref"]}
        shared = list(self._resolved(item.get("parameters")))
        return {name: self._operation(item[name], shared) for name in METHODS if name in item}

    def _operation(self, given: Any, shared: list[dict[str, Any]]) -> Any:
        if not isinstance(given, dict):
            return given
        own = list(self._resolved(given.get("parameters")))
        replaced = {(each.get("in"), each.get("name")) for each in own}
        parameters = [each for each in shared if (each.get("in"), each.get("name")) not in replaced] + own
        consumes = _texts(given["consumes"]) if "consumes" in given else self._consumes
        produces = _texts(given["produces"]) if "produces" in given else self._produces
        made = {
            name: given[name]
            for name in ("tags", "summary", "description", "operationId", "deprecated", "security")
            if name in given
        }
        made["parameters"] = [
            _parameter(each) if "$ref" not in each else each
            for each in parameters
            if each.get("in") not in ("body", "formData")
        ]
        body = _body(parameters, consumes)
        if body is not None:
            made["requestBody"] = body
        made["responses"] = {
            str(code): self._response(each, produces) for code, each in _mapping(given.get("responses")).items()
        }
        return made

    def _resolved(self, given: Any) -> Iterator[dict[str, Any]]:
        """The parameters of a list. A reference that leads nowhere stays, and the importer reports it."""
        for each in given if isinstance(given, list) else ():
            target = each.get("$ref") if isinstance(each, dict) else None
            if isinstance(target, str) and target.startswith("#/parameters/"):
                found = self._parameters.get(target.removeprefix("#/parameters/").replace("~1", "/").replace("~0", "~"))
                yield found if isinstance(found, dict) else each
            elif isinstance(each, dict):
                yield each

    def _response(self, given: Any, produces: list[str]) -> Any:
        if not isinstance(given, dict) or "$ref" in given:
            return _referred(given)
        made: dict[str, Any] = {"description": given.get("description", "")}
        if "schema" in given:
            schema = _schema(given["schema"], 0)
            made["content"] = {media: {"schema": schema} for media in produces or ["application/json"]}
        return made


def _parameter(given: Mapping[str, Any]) -> dict[str, Any]:
    made = {name: given[name] for name in ("name", "in", "description", "required") if name in given}
    made["schema"] = _schema({name: given[name] for name in _SCHEMA if name in given}, 0)
    if given.get("type") == "array":
        style = _STYLES.get(str(given.get("collectionFormat", "csv")), _STYLES["csv"])
        is_plain = given.get("in") in ("path", "header") and style is _STYLES["csv"]
        made |= {"style": "simple", "explode": False} if is_plain else style
    return made


def _body(parameters: list[dict[str, Any]], consumes: list[str]) -> dict[str, Any] | None:
    for each in parameters:
        if each.get("in") == "body":
            schema = {"schema": _schema(each.get("schema", {}), 0)}
            made: dict[str, Any] = {"content": dict.fromkeys(consumes or ["application/json"], schema)}
            return made | {name: each[name] for name in ("description", "required") if name in each}
    fields = [each for each in parameters if each.get("in") == "formData" and isinstance(each.get("name"), str)]
    if not fields:
        return None
    media = next((kind for kind in consumes if kind in _FORM_TYPES), None)
    if media is None:
        media = _FORM_TYPES[any(each.get("type") == "file" for each in fields)]
    schemas = {each["name"]: _parameter(each)["schema"] | _described(each) for each in fields}
    required = [each["name"] for each in fields if each.get("required") is True]
    form: dict[str, Any] = {"type": "object", "properties": schemas}
    if required:
        form["required"] = required
    encoding = {
        each["name"]: {key: value for key, value in _parameter(each).items() if key in ("style", "explode")}
        for each in fields
        if each.get("type") == "array"
    }
    return {"required": bool(required), "content": {media: {"schema": form, "encoding": encoding}}}


def _described(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": given["description"]} if "description" in given else {}


def _schema(node: Any, level: int) -> Any:
    """A schema with the references and keywords of 3.0. Values of ``enum``, ``default`` and ``example`` stay."""
    if level > MAX_LEVELS:
        return node
    if isinstance(node, list):
        return [_schema(each, level + 1) for each in node]
    if not isinstance(node, dict):
        return node
    made: dict[str, Any] = {}
    for keyword, value in node.items():
        if keyword == "$ref":
            made[keyword] = _target(value)
        elif keyword in ("properties", "patternProperties") and isinstance(value, dict):
            made[keyword] = {name: _schema(each, level + 1) for name, each in value.items()}
        elif keyword in ("items", "additionalProperties", "allOf", "anyOf", "oneOf", "not"):
            made[keyword] = _schema(value, level + 1)
        elif keyword == "x-nullable":
            made["nullable"] = value
        elif keyword == "discriminator" and isinstance(value, str):
            made[keyword] = {"propertyName": value}
        else:
            made[keyword] = value
    if made.get("type") == "file":
        made |= {"type": "string", "format": "binary"}
    return made


def _security(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    if given.get("type") == "basic":
        return {"type": "http", "scheme": "basic"}
    if given.get("type") == "oauth2":
        flow = str(given.get("flow"))
        return {"type": "oauth2", "flows": {_FLOWS.get(flow, flow): {"scopes": given.get("scopes", {})}}}
    return given


def _referred(node: Any) -> Any:
    return {**node, "$ref": _target(node["$ref"])} if isinstance(node, dict) and "$ref" in node else node


def _target(target: Any) -> Any:
    for old, new in _REFERENCES if isinstance(target, str) else ():
        if target.startswith(old):
            return new + target.removeprefix(old)
    return target


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
