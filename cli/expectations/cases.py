"""PURE. Reads a file of expectations: cases about changes and cases about calls. docs/testing.md is the format.

Called by `cli.commands.test`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from crd import defaults, manifest
from crd.finding import Reason
from crd.ref import Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crd.manifest import Object

__all__ = ["Call", "Case", "ChangeCase", "FormatError", "Suite", "read"]

_KINDS = (Kind.SERVER, Kind.TOOL, Kind.PROMPT, Kind.RESOURCE)
_CALL, _REQUEST = {"tool", "arguments", "claims"}, {"method", "url", "headers", "body"}


class FormatError(Exception):
    """A file that does not have the format; the message names the field."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool, and what it is expected to become: parts of a request, or a refusal with some words."""

    tool: str
    arguments: Mapping[str, Any]
    claims: Mapping[str, Any]
    request: Mapping[str, Any]
    refused: str | None


@dataclass(frozen=True, slots=True)
class ChangeCase:
    """Changes, one after the other, beside the files and ``given``: objects to apply, and references to delete.

    ``findings`` are all reasons that are expected; None if any are fine.
    """

    given: tuple[Object, ...]
    steps: tuple[Object | Ref, ...]
    verdict: Literal["allowed", "denied"]
    findings: frozenset[Reason] | None


@dataclass(frozen=True, slots=True)
class Case:
    """An expectation with a name. ``path`` is where it is in the file."""

    name: str
    path: tuple[str | int, ...]
    expected: Call | ChangeCase


@dataclass(frozen=True, slots=True)
class Suite:
    """The content of a file: the manifests it is about, relative to its folder, and its cases."""

    files: tuple[str, ...]
    cases: tuple[Case, ...]


def read(document: Any) -> Suite:
    """The content of a file. Raises FormatError."""
    _check_members(document, "the file", {"files", "tests"}, {"files", "tests"})
    names = _strings(document["files"], "files")
    tests = document["tests"]
    if not isinstance(tests, list) or not tests:
        raise FormatError("tests must be a list with at least one test")
    return Suite(names, tuple(_case(test, f"tests[{index}]", index) for index, test in enumerate(tests)))


def _case(test: Any, at: str, index: int) -> Case:
    if not isinstance(test, dict) or ("call" in test) == ("change" in test):
        raise FormatError(f"{at} must have either call or change")
    name = test.get("name")
    if not isinstance(name, str) or not name:
        raise FormatError(f"{at}.name must be a non-empty string")
    expected = _call(test, at) if "call" in test else _change(test, at)
    return Case(name, ("tests", index), expected)


def _call(test: Mapping[str, Any], at: str) -> Call:
    _check_members(test, at, {"name", "call", "request", "refused"}, set())
    call = test["call"]
    _check_members(call, f"{at}.call", _CALL, {"tool"})
    if ("request" in test) == ("refused" in test):
        raise FormatError(f"{at} must have either request or refused")
    request = test.get("request", {})
    _check_members(request, f"{at}.request", _REQUEST, set())
    for member in ("method", "url"):
        if not isinstance(request.get(member, ""), str):
            raise FormatError(f"{at}.request.{member} must be a string")
    headers = request.get("headers", {})
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise FormatError(f"{at}.request.headers must be an object of strings")
    refused = test.get("refused")
    if refused is not None and not isinstance(refused, str):
        raise FormatError(f"{at}.refused must be a string: a part of the message")
    return Call(
        _string(call["tool"], f"{at}.call.tool"),
        _object(call.get("arguments", {}), f"{at}.call.arguments"),
        _object(call.get("claims", {}), f"{at}.call.claims"),
        request,
        refused,
    )


def _change(test: Mapping[str, Any], at: str) -> ChangeCase:
    _check_members(test, at, {"name", "given", "change", "verdict", "findings"}, {"verdict"})
    verdict = test["verdict"]
    if verdict not in ("allowed", "denied"):
        raise FormatError(f"{at}.verdict must be allowed or denied")
    given, steps = test.get("given", []), test["change"]
    if not isinstance(given, list) or not isinstance(steps, list) or not steps:
        raise FormatError(f"{at}.given and {at}.change must be lists of objects, and change must not be empty")
    reasons = None
    if "findings" in test:
        try:
            reasons = frozenset(map(Reason, _strings(test["findings"], f"{at}.findings")))
        except ValueError as error:
            raise FormatError(f"{at}.findings: {error}; mcp-operator check --list-reasons lists all") from error
    return ChangeCase(
        tuple(_decode(raw, f"{at}.given[{index}]") for index, raw in enumerate(given)),
        tuple(_step(raw, f"{at}.change[{index}]") for index, raw in enumerate(steps)),
        verdict,
        reasons,
    )


def _step(raw: Any, at: str) -> Object | Ref:
    if not isinstance(raw, dict) or "delete" not in raw:
        return _decode(raw, at)
    _check_members(raw, at, {"delete"}, {"delete"})
    named = raw["delete"]
    _check_members(named, f"{at}.delete", {"kind", "namespace", "name"}, {"kind", "name"})
    if named["kind"] not in _KINDS:
        raise FormatError(f"{at}.delete.kind must be one of {', '.join(_KINDS)}")
    namespace = _string(named.get("namespace", "default"), f"{at}.delete.namespace")
    return Ref(Kind(named["kind"]), namespace, _string(named["name"], f"{at}.delete.name"))


def _decode(raw: Any, at: str) -> Object:
    try:
        return manifest.decode(defaults.set_defaults(_object(raw, at)))
    except ValueError as error:
        raise FormatError(f"{at}: {error}") from error


def _check_members(value: Any, at: str, known: set[str], required: set[str]) -> None:
    given = _object(value, at)
    unknown = sorted(str(name) for name in given if name not in known)
    if unknown:
        raise FormatError(f'{at} has an unknown member "{unknown[0]}"; use {", ".join(sorted(known))}')
    missing = sorted(required - given.keys())
    if missing:
        raise FormatError(f'{at} lacks the member "{missing[0]}"; add it')


def _object(value: Any, at: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise FormatError(f"{at} must be an object")
    return value


def _string(value: Any, at: str) -> str:
    if not isinstance(value, str) or not value:
        raise FormatError(f"{at} must be a non-empty string")
    return value


def _strings(value: Any, at: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise FormatError(f"{at} must be a list of strings")
    return tuple(_string(each, f"{at}[{index}]") for index, each in enumerate(value))


def describe(reasons: Sequence[str]) -> str:
    """Reasons by name, or that there are none."""
    return ", ".join(reasons) or "none"
