"""PURE. The URIs and operations of resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd.finding import Finding, Reason
from crd.models.resource import ResourceSpec
from crd.published import uri
from crd.rules import paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.manifest import Object
    from crd.models.resource import Operation
    from crd.ref import Ref

__all__ = ["invalid_operations", "invalid_uris"]

Path = tuple[str | int, ...]


def invalid_uris(item: Object) -> Iterator[Finding]:
    """Invalid URIs (RFC 3986), and URI templates that are invalid or not supported (RFC 6570)."""
    spec = item.spec
    if not isinstance(spec, ResourceSpec):
        return
    plain: list[tuple[Path, str | None]] = [(("spec", "uri"), spec.uri)]
    if spec.content:
        plain.append((("spec", "content", "uri"), spec.content.uri))
    for path, text in plain:
        wrong = uri.find_fault(text) if text else None
        if wrong:
            yield Finding.of(Reason.INVALID_URI, item.ref, f'"{text}" is not a valid URI: {wrong}', path=path)
    if spec.uri_template:
        yield from _check_template(item.ref, spec.uri_template, ("spec", "uriTemplate"), variables=True)
    for index, operation in enumerate(spec.operations or ()):
        if operation.uri_template:
            at = ("spec", "operations", index, "uriTemplate")
            yield from _check_template(item.ref, operation.uri_template, at, variables=False)


def _check_template(ref: Ref, text: str, at: Path, *, variables: bool) -> Iterator[Finding]:
    parsed = uri.parse(text)
    if isinstance(parsed, str):
        yield Finding.of(Reason.INVALID_URI_TEMPLATE, ref, f'"{text}" is not a valid URI template: {parsed}', path=at)
    elif variables and not parsed.variables:
        message = f'"{text}" has no variables; use spec.uri instead'
        yield Finding.of(Reason.INVALID_URI_TEMPLATE, ref, message, path=at)


def invalid_operations(item: Object) -> Iterator[Finding]:
    """Placeholders that are not declared, and parameters that are not sent or that callers cannot set."""
    spec = item.spec
    for index, operation in enumerate((spec.operations or ()) if isinstance(spec, ResourceSpec) else ()):
        at: Path = ("spec", "operations", index)
        yield from _check_placeholders(item.ref, operation, at)
        yield from _check_parameters(item.ref, operation, at)


def _check_placeholders(ref: Ref, operation: Operation, at: Path) -> Iterator[Finding]:
    declared = {parameter.name for parameter in operation.parameters if parameter.in_ == "path"}
    for path, text in ((("ingressPath",), operation.ingress_path), (("service", "path"), operation.service.path)):
        for name in paths.placeholders(text):
            if name not in declared:
                message = f'placeholder "{{{name}}}" is not declared in parameters; declare it there with in: path'
                place: Path = (*at, *path)
                yield Finding.of(
                    Reason.UNDECLARED_PLACEHOLDER, ref, message, subject=(*map(str, place), name), path=place
                )
        for reason, subject, message in paths.literal_faults(text) if path == ("service", "path") else ():
            place = (*at, *path)
            yield Finding.of(reason, ref, message, subject=(*map(str, place), subject), path=place)


def _check_parameters(ref: Ref, operation: Operation, at: Path) -> Iterator[Finding]:
    stated = operation.uri_template if operation.method == "GET" else None
    parsed = uri.parse(stated) if stated else None
    given = set(parsed.variables) if isinstance(parsed, uri.UriTemplate) else None
    sent, offered = (set(paths.placeholders(path)) for path in (operation.service.path, operation.ingress_path))
    for position, parameter in enumerate(operation.parameters):
        place: Path = (*at, "parameters", position)
        if parameter.in_ == "path" and parameter.name not in sent:
            message = f'"{parameter.name}" is never sent; use {{{parameter.name}}} in service.path or remove it'
            yield Finding.of(Reason.UNMAPPED_ARGUMENT, ref, message, path=place)
        elif parameter.in_ == "path" and parameter.name not in offered:
            message = f'callers cannot set "{parameter.name}"; use {{{parameter.name}}} in ingressPath'
            yield Finding.of(Reason.UNMAPPED_ARGUMENT, ref, message, path=place)
        if given is not None and parameter.name not in given and (parameter.required or parameter.in_ == "path"):
            message = f'uriTemplate "{stated}" lacks the required "{parameter.name}"; add {{{parameter.name}}}'
            yield Finding.of(Reason.INVALID_URI_TEMPLATE, ref, message, path=(*at, "uriTemplate"))
    known = {parameter.name for parameter in operation.parameters}
    for name in sorted((given or set()) - known):
        message = f'placeholder "{{{name}}}" is not declared in parameters; declare it there or remove it'
        place = (*at, "uriTemplate")
        yield Finding.of(Reason.UNDECLARED_PLACEHOLDER, ref, message, subject=(*map(str, place), name), path=place)
