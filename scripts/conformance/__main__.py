"""Runs the conformance suite of MCP and writes docs/conformance.md: `python -m scripts.conformance`.

Exit codes: 0 the outcome is that of expected.yaml; 1 it is not.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from crd.ref import Kind, Ref
from scripts.clients import node
from scripts.conformance import backend, outcome
from scripts.dev_server import serving

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "conformance.md"
SUITE = "@modelcontextprotocol/conformance"
SERVICE = Ref(Kind.SERVICE, "conformance", "backend")
# The sets that the suite has frozen for a revision; for an older one, all scenarios that apply to it.
SELECTED = {
    "2026-07-28": ("--requirements", "2026-07-28"),
    "2025-11-25": ("--requirements", "2025-11-25"),
    "2025-06-18": ("--suite", "all", "--spec-version", "2025-06-18"),
}
LONGEST = 600.0


async def run(program: tuple[str, ...], expected: Path, folder: Path) -> tuple[dict[str, outcome.Run], list[str]]:
    """The checks of each revision, and the revisions of which the suite finds something else than its baseline."""
    manifests = folder / "manifests"
    shutil.copytree(HERE / "manifests", manifests)
    runs, unexpected = {}, []
    async with (
        backend.started(manifests) as address,
        serving(str(manifests), {SERVICE: address}, {}, "conformance/suite") as url,
    ):
        for revision, selection in SELECTED.items():
            results = folder / revision
            process = await asyncio.create_subprocess_exec(
                *program, "server", "--url", url, *selection, "--expected-failures", str(expected), "-o", str(results),
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            try:
                async with asyncio.timeout(LONGEST):
                    said, _ = await process.communicate()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            runs[revision] = read(results)
            if process.returncode != 0:
                print(said.decode(errors="replace")[-6000:])
                unexpected.append(f"{revision}: the suite ended with {process.returncode}")
    return runs, unexpected


def read(results: Path) -> outcome.Run:
    """The checks of each scenario of a folder that the suite has written."""
    found = {}
    for path in sorted(results.glob("*/checks.json")):
        name = outcome.parse_name(path.parent.name)
        if name is None:
            raise RuntimeError(f"{path.parent} is not a folder of a scenario")
        found[name] = outcome.parse_checks(json.loads(path.read_text()))
    return found


def main() -> int:
    """Run the suite, and write the page if the outcome is as expected."""
    installed = node.install(HERE, ("package.json", "package-lock.json", ".npmrc"), "the conformance suite")
    # The suite needs a newer Node.js than others do; it is among its packages where there is one for this platform.
    own = installed / "node_modules/.bin/node"
    program = (str(own) if own.exists() else "node", str(installed / "node_modules" / SUITE / "dist/index.js"))
    version = subprocess.run([program[0], "--version"], capture_output=True, text=True, check=True).stdout.strip()
    expected = outcome.parse_expected(yaml.safe_load((HERE / "expected.yaml").read_text()))
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "baseline.yaml"
        listed.write_text(json.dumps(outcome.baseline(expected)))
        runs, problems = asyncio.run(run(program, listed, Path(folder)))
    problems += outcome.judge(runs, expected)
    for problem in problems:
        print(problem)
    if problems:
        return 1
    number = json.loads((HERE / "package.json").read_text())["dependencies"][SUITE]
    PAGE.write_text(outcome.render(runs, expected, f"`{SUITE}` {number} on Node.js {version}"))
    print(f"wrote {PAGE.relative_to(HERE.parents[1])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
