"""What the webhook makes of an object alone: the patch with its defaults, and warnings about dropped fields."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch
import pytest

from crd import defaults
from tests.examples import corpus
from webhook import admit
from webhook.object_cache import ObjectCache
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


def test_warnings_about_dropped_fields_are_few() -> None:
    raw = copy.deepcopy(dict(corpus.valid()[0].raw))
    applied = {**raw, "spec": {f"x{number}": 1 for number in range(admit.MAX_WARNINGS + 50)}}
    raw["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(applied)}
    judged = admit.judge_object(review(raw), ObjectCache())

    assert judged is not None
    assert len(judged.warnings) == admit.MAX_WARNINGS
