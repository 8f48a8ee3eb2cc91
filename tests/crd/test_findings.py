"""Findings cross from one process to another."""

from __future__ import annotations

import pickle

from crd.finding import Finding, Level, Reason
from crd.ref import Kind, Ref


def test_a_pickled_finding_keeps_every_member() -> None:
    ref, other = Ref(Kind.TOOL, "shop", "a"), Ref(Kind.SERVER, "shop", "main")
    finding = Finding(Reason.DUPLICATE_NAME, ref, ("x",), "words", ("spec", 0, "name"), (other,), Level.WARNING)
    copy = pickle.loads(pickle.dumps(finding))

    assert copy == finding
    assert (copy.message, copy.path, copy.related, copy.level) == (
        "words",
        ("spec", 0, "name"),
        (other,),
        Level.WARNING,
    )
