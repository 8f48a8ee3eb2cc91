"""PURE. Decode manifests of our kinds: the spec, the facts for a snapshot, and structural problems.

Decoding a manifest of one of our kinds never raises; structural faults are data (`Object.problems`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError

from crd import extraction
from crd.finding import Reason
from crd.models import openapi, problem, soundness
from crd.models.problem import Problem
from crd.models.prompt import PromptSpec
from crd.models.resource import ResourceSpec
from crd.models.server import SERVER_NAME, SERVER_NAME_RULE, ServerSpec
from crd.models.tool import ToolSpec
from crd.ref import GROUP, VERSION, Kind, Ref
from crd.schema.bounds import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crd.facts import Claim, MemberFact, ServerFact


__all__ = ["OURS", "Object", "Spec", "claims", "decode", "fact_of", "kind_of", "sound_part"]

Spec = ServerSpec | ToolSpec | PromptSpec | ResourceSpec

_SPECS: dict[Kind, type[ServerSpec | ToolSpec | PromptSpec | ResourceSpec]] = {
    Kind.SERVER: ServerSpec,
    Kind.TOOL: ToolSpec,
    Kind.PROMPT: PromptSpec,
    Kind.RESOURCE: ResourceSpec,
}


OURS = tuple(_SPECS)
_KINDS = {
    **{("v1", kind.value): kind for kind in (Kind.SERVICE, Kind.SECRET, Kind.CONFIG_MAP)},
    **{(f"{GROUP}/{VERSION}", kind.value): kind for kind in OURS},
}
# The members of a tool's spec that may hold any object, and how many brackets make no nesting that is too deep.
SCHEMAS = ("inputSchema", "outputSchema")
SHALLOW = 150
# Each label is looked up by every selector of the namespace. The API server limits their length, and not their number.
MAX_LABELS = 256


@dataclass(frozen=True, slots=True)
class Object:
    """An object of one of our kinds. ``spec`` and ``fact`` are None if there are ``problems``."""

    ref: Ref
    raw: Mapping[str, Any] = field(repr=False)
    spec: Spec | None
    fact: MemberFact | ServerFact | None
    problems: tuple[Problem, ...] = ()

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata, undecoded."""
        return _mapping(self.raw.get("metadata"))

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of the object, without those that are not strings."""
        labels = _mapping(self.metadata.get("labels"))
        return {key: value for key, value in labels.items() if isinstance(key, str) and isinstance(value, str)}

    @property
    def served_name(self) -> str:
        """The name that clients see: spec.name, else metadata.name. For an MCPServer, metadata.name."""
        return getattr(self.spec, "name", None) or self.ref.name


def kind_of(raw: Mapping[str, Any]) -> Kind | None:
    """The kind of a manifest, if it is one of ours or one that they refer to; otherwise None."""
    version, kind = raw.get("apiVersion"), raw.get("kind")
    if not isinstance(version, str) or not isinstance(kind, str):
        return None
    if kind == "ReferenceGrant" and version.startswith("gateway.networking.k8s.io/"):
        return Kind.GRANT
    return _KINDS.get((version, kind))


def decode(raw: Mapping[str, Any]) -> Object:
    """Decode a manifest of one of our four kinds. Raises ValueError if it has another kind or no name."""
    ref, metadata, problems = _identify(raw)
    spec = raw.get("spec")
    payload = _encode(ref.kind, spec)
    if isinstance(payload, tuple):
        return Object(ref, raw, None, None, (*problems, *payload))
    try:
        decoded = _SPECS[ref.kind].model_validate_json(payload)
    except ValidationError as error:
        unstorable = problem.find_unstorable(spec, ("spec",))
        found = (unstorable,) if unstorable else tuple(dict.fromkeys(problem.translate(error)))
        return Object(ref, raw, None, None, (*problems, *found))
    if problems:
        return Object(ref, raw, None, None, problems)
    return Object(ref, raw, decoded, extraction.facts_of(ref, metadata, decoded, _mapping(spec)))


def sound_part(item: Object) -> Object:
    """An object with problems as far as it is sound: without the problems, and with what is left of spec and facts.

    Reading another field of the spec raises UnsoundError. Facts that depend on one are left out; a server whose
    selectors are not sound has none.
    """
    part = _sound_spec(item)
    fact = extraction.sound_facts_of(item.ref, item.metadata, item.labels, part)
    return replace(item, spec=part, fact=fact, problems=())


def _sound_spec(item: Object) -> Spec:
    raw, model = item.raw.get("spec"), _SPECS[item.ref.kind]
    payload = _encode(item.ref.kind, raw)
    if isinstance(payload, tuple):
        part = soundness.nothing(model)
    else:
        try:
            return model.model_validate_json(payload)
        except ValidationError as error:
            if error.error_count() > problem.MAX_PROBLEMS or problem.find_unstorable(raw, ("spec",)):
                part = soundness.nothing(model)
            else:
                part = soundness.sound_part(model, _mapping(raw), error.errors(include_url=False))
    assert isinstance(part, Spec)
    return part


def fact_of(raw: Mapping[str, Any]) -> MemberFact | ServerFact | None:
    """The same as ``decode(raw).fact``, in less time for a tool: its schemas are read, but not decoded.

    Raises ValueError as `decode`.
    """
    ref, metadata, problems = _identify(raw)
    spec = raw.get("spec")
    if ref.kind is not Kind.TOOL or problems or not isinstance(spec, dict):
        return decode(raw).fact
    payload = _encode(ref.kind, spec)
    # Of a schema that is an object, decoding refuses only what is nested too deep.
    if isinstance(payload, tuple) or payload.count(b"{") + payload.count(b"[") > SHALLOW:
        return decode(raw).fact
    bare = {key: {} if key in SCHEMAS and isinstance(value, dict) else value for key, value in spec.items()}
    try:
        decoded = ToolSpec.model_validate_json(orjson.dumps(bare, option=orjson.OPT_NON_STR_KEYS))
    except ValidationError:
        return None
    return extraction.facts_of(ref, metadata, decoded, spec)


def claims(item: Object) -> Iterator[tuple[Claim, tuple[str | int, ...]]]:
    """The claims of an object, each with the path of its field; a claim may appear more than once."""
    match item.spec:
        case ToolSpec() | PromptSpec() | ResourceSpec() as spec:
            yield from extraction.claims(spec.name or item.ref.name, spec)


def _identify(raw: Mapping[str, Any]) -> tuple[Ref, Mapping[str, Any], tuple[Problem, ...]]:
    """The reference and the metadata of a manifest, and the problems of the metadata."""
    kind = kind_of(raw)
    metadata = _mapping(raw.get("metadata"))
    name = metadata.get("name") or metadata.get("generateName")
    if kind not in OURS or not isinstance(name, str):
        raise ValueError(f"not a named object of {GROUP}/{VERSION}: {raw.get('apiVersion')} {raw.get('kind')} {name}")
    ref = Ref(kind, str(metadata.get("namespace") or "default"), name)
    return ref, metadata, tuple(_metadata_problems(kind, name, metadata))


def _metadata_problems(kind: Kind, name: str, metadata: Mapping[str, Any]) -> Iterator[Problem]:
    """Problems of the metadata. The API server checks it as well, but files are checked without it."""
    if kind is Kind.SERVER and not SERVER_NAME.fullmatch(name):
        message = f"{SERVER_NAME_RULE}, got {problem.quote(name)}"
        yield Problem(("metadata", "name"), message, Reason.INVALID_NAME)
    for member in ("name", "generateName", "namespace"):
        value = metadata.get(member)
        if isinstance(value, str) and value.isascii() and value.isprintable():
            continue  # as nearly all are
        if value:
            yield from _string_problems(("metadata", member), value)
    labels = metadata.get("labels") or {}
    if not isinstance(labels, dict):
        yield Problem(
            ("metadata", "labels"), f"must be an object, got {problem.quote(labels)}; write labels as key: value"
        )
    elif len(labels) > MAX_LABELS:
        message = f"{len(labels)} labels, at most {MAX_LABELS} are supported; move what selects nothing to annotations"
        yield Problem(("metadata", "labels"), message)
        return
    for key, value in _mapping(labels).items():
        if isinstance(key, str) and isinstance(value, str) and key.isascii() and value.isascii():
            continue  # as nearly all are
        yield from _string_problems(("metadata", "labels"), key)
        yield from _string_problems(("metadata", "labels", str(key)), value)


def _string_problems(path: tuple[str | int, ...], value: object) -> Iterator[Problem]:
    unstorable = problem.find_unstorable(value, path)
    if unstorable:
        yield unstorable
    elif not isinstance(value, str):
        yield Problem(path, problem.describe_non_string(value))


def _encode(kind: Kind, raw: Any) -> bytes | tuple[Problem, ...]:
    """A spec as JSON, or why it is not decoded."""
    if raw is None:
        return (Problem(("spec",), 'required field "spec" is missing; add it'),)
    if not isinstance(raw, dict):
        return (Problem(("spec",), f"must be an object, got {problem.quote(raw)}; write its members as key: value"),)
    try:
        payload = orjson.dumps(raw, option=orjson.OPT_NON_STR_KEYS)
        large = (*_large_schemas(kind, raw), *_long_lists(kind, raw)) if len(payload) > MAX_BYTES else ()
    except orjson.JSONEncodeError as error:
        unstorable = problem.find_unstorable(raw, ("spec",))
        return (unstorable or Problem(("spec",), f"cannot be encoded as JSON: {error}"),)
    return large or payload


def _large_schemas(kind: Kind, raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Schemas that exceed the size limit, without which the cost of checking a tool would be unlimited."""
    for member in SCHEMAS if kind is Kind.TOOL else ():
        if member in raw:
            size = len(orjson.dumps(raw[member], option=orjson.OPT_NON_STR_KEYS))
            if size > MAX_BYTES:
                message = (
                    f"the schema must be at most {MAX_BYTES // 1024} KiB, got {-(-size // 1024)} KiB; shorten it or "
                    "split the tool"
                )
                yield Problem(("spec", member), message, Reason.SCHEMA_TOO_LARGE)


def _long_lists(kind: Kind, raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Lists and maps with too many entries; validating each entry could take seconds."""
    waiting: list[tuple[tuple[str | int, ...], Any, Mapping[str, Any]]] = [
        (("spec",), raw, openapi.schema(kind)["properties"]["spec"])
    ]
    for path, value, schema in waiting:
        most = schema.get("maxItems" if isinstance(value, list) else "maxProperties")
        if isinstance(value, list | dict) and most is not None and len(value) > most:
            yield Problem(path, problem.describe_number(len(value), most))
        elif isinstance(value, list) and "items" in schema:
            waiting += (((*path, index), each, schema["items"]) for index, each in enumerate(value))
        elif isinstance(value, dict):
            known = schema.get("properties", {})
            waiting += (((*path, name), value[name], known[name]) for name in known if name in value)


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}
