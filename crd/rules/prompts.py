"""PURE. Every placeholder of a prompt's template is one of its variables."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from crd import template
from crd.finding import Finding, Reason
from crd.models.prompt import PromptSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.manifest import Object

__all__ = ["undeclared_placeholders"]


def undeclared_placeholders(item: Object) -> Iterator[Finding]:
    """Placeholders that no variable fills: the model would read an empty place."""
    if not isinstance(item.spec, PromptSpec):
        return
    declared = [variable.name for variable in item.spec.variables]
    for name in template.placeholders(item.spec.template):
        if name not in declared:
            near = difflib.get_close_matches(name, declared, n=1)
            repair = f'did you mean "{{{{{near[0]}}}}}"?' if near else "add it to spec.variables or remove it"
            message = f'the template uses "{{{{{name}}}}}", which spec.variables does not declare; {repair}'
            yield Finding.of(
                Reason.UNDECLARED_PLACEHOLDER, item.ref, message, subject=(name,), path=("spec", "template")
            )
