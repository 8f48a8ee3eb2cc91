"""PURE. The placeholders of a prompt correspond to its variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd.finding import Finding, Reason
from crd.models.prompt import PromptSpec
from crd.published import template
from crd.suggestions import Suggestions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.manifest import Object

__all__ = ["undeclared_placeholders", "unused_variables"]


def undeclared_placeholders(item: Object) -> Iterator[Finding]:
    """Placeholders without a variable; they would be replaced by nothing."""
    if not isinstance(item.spec, PromptSpec):
        return
    declared = [variable.name for variable in item.spec.variables]
    suggestions = Suggestions(declared)
    for path, text in item.spec.texts:
        for name in template.placeholders(text):
            if name not in declared:
                near = suggestions.nearest(name)
                repair = f'did you mean "{{{{{near}}}}}"?' if near else "declare it there or remove it"
                message = f'placeholder "{{{{{name}}}}}" is not declared in spec.variables; {repair}'
                at = ("spec", *path)
                yield Finding.of(Reason.UNDECLARED_PLACEHOLDER, item.ref, message, subject=(name,), path=at)


def unused_variables(item: Object) -> Iterator[Finding]:
    """Variables that no text uses; their values would have no effect."""
    if not isinstance(item.spec, PromptSpec):
        return
    used = {name for _, text in item.spec.texts for name in template.placeholders(text)}
    for index, variable in enumerate(item.spec.variables):
        if variable.name not in used:
            message = f'variable "{variable.name}" is not used; use "{{{{{variable.name}}}}}" or remove the variable'
            at = ("spec", "variables", index)
            yield Finding.of(Reason.UNUSED_VARIABLE, item.ref, message, subject=(variable.name,), path=at)
