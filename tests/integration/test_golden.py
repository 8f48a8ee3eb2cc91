"""``check``, the webhook behind a real API server, and the controller's compiler agree on all examples."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cli.commands import check, files
from cli.manifests import transaction
from crd import integrity, manifest
from crd.compiler import compilation
from crd.facts import MemberFact, ServerFact
from crd.finding import Level, Reason
from crd.rules import advice, names
from crd.snapshot import Snapshot
from tests.integration import mistakes, programs
from tests.integration.wholes import raw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.finding import Finding
    from crd.manifest import Object
    from scripts.localcluster import Cluster

pytestmark = pytest.mark.integration

MANIFESTS = Path(__file__).parents[2] / "manifests"
EXAMPLES = MANIFESTS / "examples"
VALID = sorted((EXAMPLES / "valid").rglob("*.yaml"))
EXAMINED = sorted(p for folder in ("invalid", "warnings") for p in (EXAMPLES / folder).glob("*.yaml"))
CLASHES = frozenset(names.REASONS.values())
# What only files show, or only those who may list Secrets (docs/decisions/0007).
FILES_ONLY = advice.REASONS | {
    Reason.SECRET_MISSING,
    Reason.UNKNOWN_FIELD,
    Reason.DUPLICATE_OBJECT,
    Reason.INVALID_DOCUMENT,
}


@cache
def namespaces() -> tuple[str, ...]:
    texts = [path.read_text() for path in (*VALID, *EXAMINED)]
    return tuple(sorted({name for text in texts for name in re.findall(r"namespace: ([a-z0-9-]+)", text)}))


@pytest.fixture(scope="module")
def cluster(control_plane: Cluster) -> Iterator[Cluster]:
    with programs.installed(control_plane, MANIFESTS, *namespaces()):
        control_plane.run("apply", "-k", str(EXAMPLES / "backend"))
        control_plane.run("apply", "-R", "-f", str(EXAMPLES / "valid"))
        yield control_plane
        control_plane.run("delete", "-k", str(EXAMPLES / "backend"))
        control_plane.run("delete", "-R", "-f", str(EXAMPLES / "valid"), "--ignore-not-found")


def test_the_corpus_is_large_and_real() -> None:
    found = [d for path in (*VALID, *EXAMINED) for d in yaml.safe_load_all(path.read_text()) if d]
    ours = [d for d in found if manifest.kind_of(d) in manifest.OURS]

    assert len(ours) >= 150


def parse_findings(text: str) -> list[tuple[str, str]]:
    """``(reason, path)`` of every finding in what kubectl prints, in its order: warnings, then the denial's lines."""
    said = re.findall(r"^(?:Warning|-)\s?:? ([A-Z][A-Za-z]+): (?:(spec|metadata)([^ :]*): )?", text, re.MULTILINE)
    return [(reason, f"{head}{rest}") for reason, head, rest in said if reason in set(Reason)]


def checked(cluster: Cluster, path: Path) -> list[dict[str, Any]]:
    out, err = io.StringIO(), io.StringIO()
    options = replace(check.Options((str(path),)), format="json", live=True, kubeconfig=cluster.kubeconfig)
    assert check.run(options, stdin=io.BytesIO(), out=out, err=err) in (0, 1), err.getvalue()
    return list(json.loads(out.getvalue())["findings"])


@pytest.mark.parametrize("path", EXAMINED, ids=lambda path: path.stem)
def test_check_and_the_webhook_agree(cluster: Cluster, path: Path) -> None:
    *before, last = (d for d in yaml.safe_load_all(path.read_text()) if d)
    mine = {(last["kind"], last["metadata"]["name"])}
    # A dry run of several documents does not show a later one the earlier ones.
    for document in before:
        cluster.run("apply", "-f", "-", stdin=json.dumps(document))
    try:
        done = cluster.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(last), check=False)
    finally:
        for document in before:
            cluster.run("delete", "-f", "-", "--wait=false", stdin=json.dumps(document))

    found = [f for f in checked(cluster, path) if f["reason"] not in FILES_ONLY and mine & set(objects_of(f))]

    refused = [f for f in found if f["level"] == "error"]
    assert (done.returncode != 0) == bool(refused or "UnknownField" in path.stem), done.stderr
    if path.parent.name == "invalid" and "denied the request" in done.stderr:
        reason = path.stem.partition("--")[0]
        assert f"({reason})" in done.stderr
        assert f"- {reason}: " in done.stderr
    if "denied the request" in done.stderr or done.returncode == 0:
        heard = [pair for pair in parse_findings(done.stderr) if pair[0] not in FILES_ONLY]
        assert {reason for reason, _ in heard} == {f["reason"] for f in found}
        # A finding about a relation has the field of the changed object; any other has the field of its own object.
        # That of a server about its clients has the field in its message.
        own = {(f["reason"], f["path"]) for f in found if f["reason"] not in CLASHES and objects_of(f)[0] in mine}
        own = {(reason, place) for reason, place in own if place or reason != Reason.CLIENT_PORTABILITY}
        assert own <= set(heard)
    else:
        # The schema rejected the object before the webhook: another message about the same object.
        assert refused or "UnknownField" in path.stem


@pytest.mark.parametrize("kind", mistakes.OF_VALUES)
def test_one_answer_has_all_that_is_wrong_with_an_object(cluster: Cluster, kind: str) -> None:
    """What the schema, a CEL rule and a rule of the webhook find, in the words of ``check``."""
    spec = {**mistakes.OF_VALUES[kind], **mistakes.OF_MEANING.get(kind, {})}
    document = raw(kind, spec, "mistaken")
    expected = [str(finding) for finding in integrity.find_own(manifest.decode(document)) if finding.level == "error"]

    done = cluster.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(document), check=False)

    said = [line.removeprefix("- ") for line in done.stderr.splitlines() if line.startswith("- ")]
    assert sorted(said) == sorted(expected), done.stderr
    assert len(said) >= len(mistakes.OF_VALUES[kind])


def objects_of(finding: dict[str, Any]) -> list[tuple[str, str]]:
    """The object of a finding, and those it is related to."""
    return [(each["kind"], each["name"]) for each in (finding, *finding["related"])]


@cache
def valid_examples() -> transaction.Transaction:
    reading = files.read([str(EXAMPLES / "valid"), str(EXAMPLES / "backend" / "service.yaml")], io.BytesIO())
    return transaction.sort_documents(reading.documents, reading.faults)


def snapshot_of(extra: list[Object]) -> tuple[Snapshot, dict[Any, Object]]:
    """The valid examples and some more, which came later. As in a cluster, an object that is not sound has no facts."""
    sorted_ = valid_examples()
    snapshot = Snapshot.of(sorted_.facts)
    objects = {item.ref: with_creation_time(item, "2026-01-01T00:00:00Z") for item in sorted_.objects}
    objects |= {item.ref: with_creation_time(item, "2026-02-01T00:00:00Z") for item in extra if item.ref not in objects}
    objects |= {item.ref: with_creation_time(item, "2026-01-01T00:00:00Z") for item in extra if item.ref in objects}
    objects = {ref: replace(item, fact=None) if item.spec is None else item for ref, item in objects.items()}
    for item in objects.values():
        if item.fact is not None:
            snapshot = snapshot.put(item.fact)
    return snapshot, objects


def with_creation_time(item: Object, created: str) -> Object:
    fact = item.fact
    return replace(item, fact=replace(fact, created=created)) if isinstance(fact, MemberFact | ServerFact) else item


def key_of(finding: Finding) -> tuple[str, str, str]:
    reason = Reason.NAME_CONFLICT if finding.reason in CLASHES else finding.reason
    return (str(finding.ref), reason, "" if finding.reason in CLASHES else finding.field_path)


@pytest.mark.parametrize("path", EXAMINED, ids=lambda path: path.stem)
def test_the_compiler_omits_what_check_rejects(path: Path) -> None:
    reading = files.read([str(path)], io.BytesIO())
    extra = list(transaction.sort_documents(reading.documents, reading.faults).objects)
    snapshot, objects = snapshot_of(extra)
    changed = {item.ref for item in extra}

    for item in objects.values():
        if not isinstance(item.fact, ServerFact):
            continue
        members = [objects[ref] for ref in sorted(snapshot.view(item.ref).members)]
        examined = [member for member in members if member.ref in changed]
        if not examined and item.ref not in changed:
            continue
        compiled = compilation.compile_server(item, members, snapshot, None)
        # An exceeded budget is a fault of the server; the tools that do not fit are not served.
        exceeded = any(f.reason is Reason.CONTEXT_BUDGET_EXCEEDED for f in compiled.rejected)
        assert exceeded == any(f.reason is Reason.CONTEXT_BUDGET_EXCEEDED for f in integrity.standing(snapshot, item))
        for member in examined:
            errors = [
                key_of(f)
                for f in integrity.standing(snapshot, member)
                if (f.level is Level.ERROR or f.reason in CLASHES)
                and f.reason is not Reason.UNKNOWN_FIELD
                and _on(f, item)
            ]
            rejected = [
                key_of(f)
                for f in compiled.rejected
                if f.ref == member.ref and f.reason is not Reason.CONTEXT_BUDGET_EXCEEDED
            ]
            assert sorted(set(rejected)) == sorted(set(errors))


def _on(finding: Finding, server: Object) -> bool:
    """Whether a finding concerns this server, or no particular one."""
    servers = [ref for ref in finding.related if ref.kind == "MCPServer"]
    return not servers or server.ref in servers


def test_the_output_of_kustomize_is_checked_in_a_pipe(cluster: Cluster, tmp_path: Path) -> None:
    names = []
    for file in sorted((EXAMPLES / "valid").glob("*.yaml")):
        (tmp_path / file.name).write_text(file.read_text())
        names.append(file.name)
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"namePrefix": "built-", "resources": names}))
    built = cluster.run("kustomize", str(tmp_path)).stdout

    done = subprocess.run(
        [sys.executable, "-m", "cli", "check", "-", "--format", "json"],
        input=built, cwd=MANIFESTS.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip

    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert report["summary"]["objects"] >= 14
    assert {f["file"] for f in report["findings"]} == {"-"}
    assert all(f["name"].startswith("built-") for f in report["findings"])
