"""Which labels a selector matches, row by row as Kubernetes decides it."""

from __future__ import annotations

import pytest

from crd.selector import Operator, Requirement, Selector

APP = Requirement("app", Operator.IN, frozenset({"shop", "store"}))
TIER = Requirement("tier", Operator.IN, frozenset({"web"}))
NOT_OLD = Requirement("age", Operator.NOT_IN, frozenset({"old"}))
HAS_TEAM = Requirement("team", Operator.EXISTS)
NO_DRAFT = Requirement("draft", Operator.DOES_NOT_EXIST)


@pytest.mark.parametrize(
    ("requirement", "labels", "holds"),
    [
        (APP, {"app": "shop"}, True),
        (APP, {"app": "store"}, True),
        (APP, {"app": "other"}, False),
        (APP, {}, False),
        (NOT_OLD, {"age": "old"}, False),
        (NOT_OLD, {"age": "new"}, True),
        (NOT_OLD, {}, True),
        (HAS_TEAM, {"team": ""}, True),
        (HAS_TEAM, {"app": "team"}, False),
        (NO_DRAFT, {}, True),
        (NO_DRAFT, {"draft": ""}, False),
        (Requirement("app", Operator.IN), {"app": ""}, False),
    ],
)
def test_a_requirement(requirement: Requirement, labels: dict[str, str], holds: bool) -> None:
    assert requirement.holds(labels) is holds


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        pytest.param(Selector(), {"app": "shop"}, False, id="nothing said selects nothing"),
        pytest.param(Selector(select_all=True), {}, True, id="all said selects all"),
        pytest.param(Selector((APP, TIER)), {"app": "shop", "tier": "web"}, True, id="both hold"),
        pytest.param(Selector((APP, TIER)), {"app": "shop"}, False, id="one of two holds"),
        pytest.param(Selector((APP,), select_all=True), {}, False, id="conditions count beside selectAll"),
    ],
)
def test_a_selector(selector: Selector, labels: dict[str, str], matches: bool) -> None:
    assert selector.matches(labels) is matches


@pytest.mark.parametrize(
    ("selector", "anchors"),
    [
        pytest.param(Selector((APP,)), (("app", "shop"), ("app", "store")), id="every value of an In"),
        pytest.param(Selector((APP, TIER)), (("tier", "web"),), id="the shorter of two"),
        pytest.param(Selector((TIER, APP)), (("tier", "web"),), id="the shorter of two, in any order"),
        pytest.param(Selector((HAS_TEAM, APP)), (("app", "shop"), ("app", "store")), id="values before a mere key"),
        pytest.param(Selector((APP, HAS_TEAM)), (("app", "shop"), ("app", "store")), id="in any order"),
        pytest.param(Selector((HAS_TEAM,)), (("team", None),), id="a key that must be there"),
        pytest.param(Selector((NOT_OLD, NO_DRAFT)), (), id="nothing is certain of what is absent"),
        pytest.param(Selector(select_all=True), (), id="nor of everything"),
    ],
)
def test_what_every_match_carries(selector: Selector, anchors: tuple[tuple[str, str | None], ...]) -> None:
    assert selector.anchors == anchors
