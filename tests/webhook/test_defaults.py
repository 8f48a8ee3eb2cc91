"""The patch of the mutating webhook is what `crd.defaults` sets."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest

from crd import defaults
from tests.examples import corpus
from webhook import admit
from webhook.review import Review


def review(raw: dict[str, Any]) -> Review:
    metadata = raw["metadata"]
    return Review("u", "CREATE", raw["kind"], metadata["namespace"], metadata["name"], raw, None)


@pytest.mark.parametrize("item", corpus.valid(), ids=lambda item: str(item.ref))
def test_the_patch_makes_of_an_object_what_the_defaults_make_of_it(item: Any) -> None:
    raw = copy.deepcopy(dict(item.raw))
    raw["spec"].pop("name", None)
    (raw["spec"].get("service") or {}).pop("namespace", None)
    patch = admit.defaulting_patch(review(raw))

    assert jsonpatch.apply_patch(raw, patch) == defaults.set_defaults(raw)
    assert bool(patch) == (raw != defaults.set_defaults(raw))
