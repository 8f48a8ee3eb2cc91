"""PURE. A manifest as the verdict sees it: decoded spec, facts for the catalog, and what is structurally wrong.

Decoding never raises for a manifest that names one of our kinds: what is wrong with it is data (`Object.problems`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError

from crd.facts import Backend, Claim, MemberFact, ServerFact, ServiceFact, Space
from crd.models.prompt import PromptSpec
from crd.models.resource import ResourceSpec, template_of
from crd.models.server import SERVER_NAME, SERVER_NAME_RULE, ServerSpec
from crd.models.tool import ToolSpec
from crd.ref import GROUP, VERSION, Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crd.models.metadata import ServiceRef

__all__ = ["Object", "Problem", "Spec", "decode", "kind_of", "service_fact"]

Spec = ServerSpec | ToolSpec | PromptSpec | ResourceSpec

_SPECS: dict[Kind, type[ServerSpec | ToolSpec | PromptSpec | ResourceSpec]] = {
    Kind.SERVER: ServerSpec,
    Kind.TOOL: ToolSpec,
    Kind.PROMPT: PromptSpec,
    Kind.RESOURCE: ResourceSpec,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A breach of the structural schema: the field path and what is wrong there."""

    path: tuple[str | int, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Object:
    """One of our objects. ``spec`` and ``fact`` are None when ``problems`` says that the spec cannot be read."""

    ref: Ref
    raw: Mapping[str, Any] = field(repr=False)
    spec: Spec | None
    fact: MemberFact | ServerFact | None
    problems: tuple[Problem, ...] = ()

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The object's metadata as it came."""
        return _mapping(self.raw.get("metadata"))

    @property
    def labels(self) -> Mapping[str, str]:
        """The object's labels; empty if there are none."""
        return _mapping(self.metadata.get("labels"))

    @property
    def served_name(self) -> str:
        """The name clients see: spec.name, else metadata.name. For an MCPServer, metadata.name."""
        return getattr(self.spec, "name", None) or self.ref.name


def kind_of(raw: Mapping[str, Any]) -> Kind | None:
    """Which of our kinds, or core Service, a manifest is of; None for any other."""
    match raw.get("apiVersion"), raw.get("kind"):
        case "v1", "Service":
            return Kind.SERVICE
        case api_version, kind if api_version == f"{GROUP}/{VERSION}" and kind in {k.value for k in _SPECS}:
            return Kind(kind)
    return None


def decode(raw: Mapping[str, Any]) -> Object:
    """Read a manifest of one of our four kinds. Raises ValueError if it is of another kind or has no name."""
    kind = kind_of(raw)
    metadata = _mapping(raw.get("metadata"))
    name = metadata.get("name") or metadata.get("generateName")
    if kind is None or kind is Kind.SERVICE or not isinstance(name, str):
        raise ValueError(f"not a named object of {GROUP}/{VERSION}: {raw.get('apiVersion')} {raw.get('kind')} {name}")
    ref = Ref(kind, str(metadata.get("namespace") or "default"), name)
    if kind is Kind.SERVER and not SERVER_NAME.fullmatch(name):
        return Object(ref, raw, None, None, (Problem(("metadata", "name"), f"{SERVER_NAME_RULE}, not {_quote(name)}"),))
    if not isinstance(raw.get("spec"), dict):
        return Object(ref, raw, None, None, (Problem(("spec",), "spec is missing; add it"),))
    try:
        spec = _SPECS[kind].model_validate_json(orjson.dumps(raw["spec"], option=orjson.OPT_NON_STR_KEYS))
    except ValidationError as error:
        return Object(ref, raw, None, None, tuple(dict.fromkeys(_problems(error))))
    return Object(ref, raw, spec, _fact(ref, metadata, spec))


def service_fact(raw: Mapping[str, Any]) -> ServiceFact:
    """The facts of a core/v1 Service."""
    metadata, spec = _mapping(raw.get("metadata")), _mapping(raw.get("spec"))
    ports = tuple(
        (str(port.get("name") or ""), int(port["port"])) for port in spec.get("ports") or () if "port" in port
    )
    ref = Ref(Kind.SERVICE, str(metadata.get("namespace") or "default"), str(metadata.get("name")))
    return ServiceFact(ref, str(spec.get("type") or "ClusterIP"), ports)


def _fact(ref: Ref, metadata: Mapping[str, Any], spec: Spec) -> MemberFact | ServerFact:
    if isinstance(spec, ServerSpec):
        return ServerFact(ref, spec.tool_selector.selector())
    return MemberFact(
        ref,
        dict(_mapping(metadata.get("labels"))),
        str(metadata.get("uid") or ""),
        str(metadata.get("creationTimestamp") or ""),
        tuple(dict.fromkeys(_claims(spec.name or ref.name, spec))),
        tuple(_backends(ref.namespace, spec)),
    )


def _claims(name: str, spec: ToolSpec | PromptSpec | ResourceSpec) -> Iterator[Claim]:
    match spec:
        case ToolSpec():
            yield Claim(Space.TOOL_NAME, name)
            if spec.ingress_path:
                yield Claim(Space.DOOR, f"POST {spec.ingress_path}")
        case PromptSpec():
            yield Claim(Space.PROMPT_NAME, name)
            if spec.ingress_path:
                yield Claim(Space.DOOR, f"GET {spec.ingress_path}")
        case ResourceSpec():
            if spec.content:
                yield Claim(Space.URI, spec.content.uri)
            for operation in spec.operations or ():
                if operation.method == "GET":
                    yield Claim(Space.URI, template_of(name, operation))
                yield Claim(Space.DOOR, f"{operation.method} {operation.ingress_path}")


def _backends(namespace: str, spec: ToolSpec | PromptSpec | ResourceSpec) -> Iterator[Backend]:
    if isinstance(spec, ToolSpec):
        yield _backend(namespace, spec.service, ("spec", "service"))
    elif isinstance(spec, ResourceSpec):
        for index, operation in enumerate(spec.operations or ()):
            yield _backend(namespace, operation.service, ("spec", "operations", index, "service"))


def _backend(namespace: str, service: ServiceRef, path: tuple[str | int, ...]) -> Backend:
    return Backend(Ref(Kind.SERVICE, service.namespace or namespace, service.name), service.port, path)


def _problems(error: ValidationError) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        path = detail["loc"]
        if len(path) > 1 and path[-1] in ("int", "str") and path[-2] == "port":
            yield Problem(("spec", *path[:-1]), "a port is a number or a name")
            continue
        message = detail["msg"].removeprefix("Value error, ")
        value = detail.get("input")
        quoted = isinstance(value, str | int | float) and str(value) not in message
        yield Problem(("spec", *path), f"{message}, not {_quote(value)}" if quoted else message)


def _quote(value: object) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}…"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
