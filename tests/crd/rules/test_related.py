"""A finding about two objects names the other one, so that both can be found."""

from __future__ import annotations

from dataclasses import replace

from crd import extraction
from crd.facts import MemberFact, ServerFact
from crd.finding import Reason
from crd.ref import Kind, Ref
from crd.rules import budgets, references
from crd.snapshot import Snapshot
from tests.crd.rules.documents import server, tool


def test_a_tool_that_is_over_the_budget_names_the_server() -> None:
    main, member = server(contextBudget=100).fact, tool().fact
    assert isinstance(main, ServerFact)
    assert isinstance(member, MemberFact)

    found = budgets.not_served(main, member)
    assert (found.reason, found.related) == (Reason.CONTEXT_BUDGET_EXCEEDED, (main.ref,))


def test_a_tool_with_a_forbidden_endpoint_names_the_service() -> None:
    manifest = {"metadata": {"name": "orders", "namespace": "shop"}, "spec": {"ports": [{"port": 80}]}}
    service = replace(extraction.service_fact(manifest), forbidden="::1 (a loopback address)")
    member = tool().fact
    assert isinstance(member, MemberFact)

    (found,) = references.backends(Snapshot.of([service]), member)
    assert found.reason is Reason.ENDPOINT_FORBIDDEN
    assert found.related == (Ref(Kind.SERVICE, "shop", "orders"),)
