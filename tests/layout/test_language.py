"""Names and wording: one name for each concept, and no literal translations, in code, messages and documentation."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGES = ("crd", "cluster", "certs", "webhook", "controller", "runtime", "cli", "scripts", "tests")
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
SOURCES = [name for name in TRACKED if name.endswith(".py") and name.startswith(PACKAGES)]
TEXTS = [name for name in TRACKED if name.endswith(".md")]
OWN = Path(__file__).relative_to(ROOT).as_posix()

GENERIC_MODULES = {"utils", "common", "helpers", "base", "core"}
# Names that were replaced. In comments: the name to use instead.
OLD_MODULES = {
    "footprint",  # extraction
    "holders",  # incumbents
    "mirrors",  # param_headers
    "doors",  # rest
    "knowledge",  # cache
    "world",  # state
    "worlds",
    "publication",  # installation
    "ladder",  # eras
    "dialect",  # mcp_wire
    "messages",  # jsonrpc
    "challenges",  # oauth_metadata
    "guards",  # resilience
    "serving",  # compiled
    "judgement",  # validation
    "mint",  # issuance
}
OLD_CLASSES = {
    "Holder",  # CatalogStore
    "Front",  # App
    "Visit",  # AdmittedRequest
    "Knowledge",  # Cache
    "ServerWorld",  # ServerState
    "MemberWorld",  # MemberState
    "World",
    "Publication",  # Installer
    "Serving",  # CompiledCatalog
    "Protocol",  # the one of typing only
}
OLD_FUNCTIONS = re.compile(
    r"_?(wish|wished|told|taken|drawn|obstacle|door|world|worlds|footprint|holders|mint|entered|passed|got|bearing"
    r"|filled|unhurried|stand_for_ever)"
)
# "is no" and "are no" stand for "is not a" and "must be a"; "there is no" and "is no longer" are English.
CALQUE = re.compile(
    r"(?<![Tt]here )\b(?:is|are) no\b(?! (?:longer|more|less|later|earlier|fewer|greater|larger|better|different)\b)"
    r"|\bno word of\b|\b(?:is|are) told\b",
)


def definitions(name: str) -> Iterator[tuple[str, str]]:
    """The kind and name of every module, class and function of a file."""
    path = ROOT / name
    yield "module", path.stem
    yield "module", path.parent.name
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            yield "class", node.name
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield "function", node.name


def old_names(name: str) -> list[tuple[str, str]]:
    return [
        (kind, found)
        for kind, found in definitions(name)
        if (kind == "module" and found in OLD_MODULES | GENERIC_MODULES)
        or (kind == "class" and found in OLD_CLASSES)
        or (kind == "function" and OLD_FUNCTIONS.fullmatch(found))
    ]


def calques(name: str) -> list[str]:
    """Every calque in the strings and comments of a module, or in the text of a page, with what surrounds it."""
    text = (ROOT / name).read_text()
    parts = [text]
    if name.endswith(".py"):
        strings = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
        parts = [part for part in strings if isinstance(part, str)] + re.findall(r"#.*", text)
    found = [(part, match) for part in (" ".join(part.split()) for part in parts) for match in CALQUE.finditer(part)]
    return [part[max(0, match.start() - 40) : match.end() + 40] for part, match in found]


@pytest.mark.parametrize("name", [name for name in SOURCES if name != OWN])
def test_no_module_class_or_function_has_an_old_name(name: str) -> None:
    assert old_names(name) == []


@pytest.mark.parametrize("name", [name for name in SOURCES + TEXTS if name != OWN])
def test_the_wording_is_english(name: str) -> None:
    assert calques(name) == []
