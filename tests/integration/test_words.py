"""What the API server says without a webhook: every mistake in one answer, at its field, in the words of ``check``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from crd import integrity, manifest
from crd.finding import Level, format_path
from scripts.localcluster import installation
from tests.integration import answers, mistakes
from tests.integration.wholes import raw

if TYPE_CHECKING:
    from scripts.localcluster import Cluster

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster(control_plane: Cluster) -> Cluster:
    installation.definitions(control_plane)
    control_plane.run("create", "namespace", "shop", check=False)
    return control_plane


@pytest.mark.parametrize("kind", mistakes.OF_VALUES)
def test_the_api_server_says_all_mistakes_in_one_answer_in_our_words(cluster: Cluster, kind: str) -> None:
    document = raw(kind, mistakes.OF_VALUES[kind], "mistaken")
    found = [each for each in integrity.find_own(manifest.decode(document)) if each.level is Level.ERROR]

    done = cluster.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(document), check=False)

    said = answers.plain(done.stderr)
    assert [each.message for each in found if each.message not in said] == []
    # The API server names no entry of a map, and a rule about a selector its condition.
    places = [(each.field_path, format_path(each.path[:-1])) for each in found]
    assert [place for place, around in places if f"{place}: " not in said and f"{around}: " not in said] == []
    # Not in patterns, and not with the type of a value in its place.
    assert "should match" not in said
    assert 'value: "object"' not in said
    assert "failed rule" not in said


def test_the_name_of_a_server_is_pointed_at(cluster: Cluster) -> None:
    document = raw("MCPServer", {"toolSelector": {"selectAll": True}}, "1st")
    (problem,) = manifest.decode(document).problems

    done = cluster.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(document), check=False)

    assert f"{format_path(problem.path)}: Forbidden: InvalidName: {problem.message}" in done.stderr


def test_a_long_value_is_cut_and_one_with_a_line_break_left_out(cluster: Cluster) -> None:
    for name, quoted in (("a b" * 40, f'got "{"a b" * 26}…'), ("a\nb", "must be a name of letters")):
        document = raw("MCPTool", {"name": name, "service": {"name": "orders", "port": 80}}, "long")
        done = cluster.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(document), check=False)
        assert quoted in done.stderr
