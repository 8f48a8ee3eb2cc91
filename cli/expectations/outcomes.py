"""PURE. Whether what happens is what a case expects: the verdict on changes, and the request of a call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cli.expectations.cases import describe
from crd import integrity
from crd.integrity import Change
from crd.manifest import Object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cli.expectations.cases import Call, ChangeCase
    from cli.explain.explanation import Explanation
    from cli.manifests.transaction import Transaction
    from crd.finding import Finding
    from crd.ref import Ref
    from crd.snapshot import Snapshot

__all__ = ["changes", "refusal", "request"]


def changes(case: ChangeCase, files: Transaction, snapshot: Snapshot) -> Iterator[str]:
    """What differs from the expectation. ``snapshot`` is that of the files. The steps end at the first refusal."""
    there: dict[Ref, Object] = {item.ref: item for item in files.objects}
    for item in case.given:
        _, snapshot = integrity.place(snapshot, Change(item.ref, there.get(item.ref), item))
        there[item.ref] = item
    found: list[Finding] = []
    allowed = True
    for step in case.steps:
        ref, new = (step.ref, step) if isinstance(step, Object) else (step, None)
        if new is None and ref not in there:
            yield f"{ref} cannot be deleted: it is not in the files"
            return
        change = Change(ref, there.get(ref), new)
        verdict = integrity.judge(snapshot, change)
        found += verdict
        if not verdict.allowed:
            allowed = False
            break
        _, snapshot = integrity.place(snapshot, change)
        if new is None:
            del there[ref]
        else:
            there[ref] = new
    if allowed != (case.verdict == "allowed"):
        yield f"expected {case.verdict}, got {'allowed' if allowed else 'denied'}" + "".join(
            f"\n  {finding}" for finding in found
        )
    reasons = {finding.reason for finding in found}
    if case.findings is not None and reasons != case.findings:
        yield f"expected the findings {describe(sorted(case.findings))}, got {describe(sorted(reasons))}"


def request(case: Call, explained: Explanation) -> Iterator[str]:
    """What differs between the expected parts of a request and the request of the runtime."""
    if case.refused is not None:
        yield f'expected a refusal with "{case.refused}", got the request {explained.method} {explained.url}'
        return
    expected = case.request
    for member, actual in (("method", explained.method), ("url", explained.url)):
        if member in expected and expected[member] != actual:
            yield f"expected {member} {expected[member]}, got {actual}"
    headers: Mapping[str, str] = expected.get("headers", {})
    for name, value in headers.items():
        sent = [each for key, each in explained.headers if key.lower() == name.lower()]
        if sent != [value]:
            yield f"expected header {name}: {value}, got {', '.join(sent) or 'no such header'}"
    if "body" in expected and not _is_same_body(expected["body"], explained):
        binary = f"{len(explained.body or b'')} bytes that are not text"
        shown = "no body" if explained.body is None else explained.body_text() or binary
        yield f"expected body {json.dumps(expected['body'], ensure_ascii=False)}, got {shown}"


def refusal(case: Call, message: str) -> Iterator[str]:
    """What differs if the runtime refuses the call with this message."""
    if case.refused is None:
        yield f"expected a request, but the call is refused: {message}"
    elif case.refused not in message:
        yield f'expected a refusal with "{case.refused}", got: {message}'


def _is_same_body(expected: Any, explained: Explanation) -> bool:
    """Text is compared as text, null with no body, and everything else as JSON."""
    if expected is None:
        return explained.body is None
    text = explained.body_text()
    if text is None or isinstance(expected, str):
        return bool(text == expected)
    try:
        sent: object = json.loads(text)
    except ValueError:
        return False
    return bool(sent == expected)
