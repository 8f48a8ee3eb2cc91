"""Tries generated tools with the official SDKs and writes the outcome: `python -m scripts.clients`."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import subprocess
import sys
from pathlib import Path

from scripts.clients import node

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "docs" / "clients.md"
_TEST = re.compile(r"^tests/clients/\w+\.py::test_(\w+):$")
_COUNT = re.compile(r"- (\d+) passing, (\d+) failing, and (\d+) invalid test cases")


def main() -> int:
    """Run the tests of tests/clients at length, and write docs/clients.md if they pass."""
    command = [sys.executable, "-m", "pytest", "tests/clients", "-q", "-p", "no:cacheprovider"]
    command += ["--hypothesis-profile=clients", "--hypothesis-show-statistics"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout[-4000:], done.stderr[-2000:], sep="\n")
    if done.returncode != 0:
        return done.returncode
    rows, name, generating = [], "", False
    for line in map(str.strip, done.stdout.splitlines()):
        if test := _TEST.match(line):
            name = test[1].replace("_", " ")
        elif line.startswith("- during "):
            generating = line.startswith("- during generate phase")
        elif generating and (count := _COUNT.search(line)):
            rows.append(f"| {name} | {count[1]} | {count[2]} | {count[3]} |")
    summary = done.stdout.strip().splitlines()[-1]
    packages = json.loads((node.HERE / "package.json").read_text())["dependencies"]
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    versions = [
        *(f"{package} {number}" for package, number in sorted(packages.items())),
        f"mcp {importlib.metadata.version('mcp')}",
        f"jsonschema {importlib.metadata.version('jsonschema')}",
        f"Node.js {version}",
        f"Python {platform.python_version()}",
    ]
    text = [
        "# Tools in the official SDKs",
        "",
        "Written by `make clients`. `make test` runs the same tests with 100 examples each; a test that needs Node.js",
        "fails where it cannot run. The limits of clients are in [Clients](reference/clients.md).",
        "",
        "`tests/clients/test_examples.py` runs every server of the valid examples; the clients of both SDKs list it,",
        "call its tools with arguments made of their schemas, get its prompts and read its resources. In",
        "`tests/clients/test_listening.py` they hear of a changed list and list again, with and without sessions.",
        "`tests/clients/test_inspector.py` runs the command line of [the MCP Inspector](how-to/inspector.md).",
        "",
        f"With {', '.join(versions)}.",
        "",
        "| generated | held | failed | rejected before |",
        "|---|---|---|---|",
        *rows,
        "",
        f"All tests of tests/clients: {re.sub(r' in .*', '', summary)}.",
    ]
    REPORT.write_text("\n".join(text) + "\n")
    print(f"wrote {REPORT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
