"""``mcp-operator import``: makes manifests from the description of an HTTP API, and writes those of any import.

Exit codes: 0 the manifests are written; 1 they are written, but with conflicts or findings to look at; 2 nothing is
written.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cli.check.formats import text
from cli.commands.contents import Contents, RefusedError
from cli.imports import description, merging, objects, outcomes
from cli.imports.description import UnusableError
from cli.manifests import documents, scalars, transaction, validation
from cli.manifests.documents import Document, Fault, Source
from crd.finding import format_path
from crd.rules.texts import UNSAFE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO, TextIO

    from cli.imports.description import Description
    from cli.imports.merging import Merge
    from cli.imports.selection import Imported

__all__ = ["Options", "Output", "Previous", "UnreadableError", "read_description", "run", "write"]

STDIN = "-"
_COMMENT = re.compile(r"(?:^|\s)#", re.MULTILINE)
_SEPARATOR = re.compile(r"^---[ \t]*(?:#.*)?\r?\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Output:
    """Where an import is written. Without ``file``, the manifests are written to standard output."""

    file: Path | None = None
    report: Path | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """The options of ``import openapi``."""

    file: str
    objects: objects.Options
    output: Output = Output()


class UnreadableError(Exception):
    """A file of the command that cannot be read; the message names it."""


def run(options: Options, *, stdin: BinaryIO, out: TextIO, err: TextIO) -> int:
    """Write the manifests, tell what became of every operation, and return the exit code."""
    try:
        api = read_description(options.file, stdin)
        previous = Previous.read(options.output)
        previous.require_namespace(options.output.file, options.objects.placement.namespace)
        settings = replace(options.objects, names=objects.names_of(previous.base))
        made = objects.import_description(api, settings)
    except (UnreadableError, UnusableError) as error:
        print(f"mcp-operator import: {text.escape(str(error))}", file=err)
        return 2
    return write(made, previous, options.output, options.objects.placement.namespace, out, err)


def write(
    made: Imported,
    previous: Previous,
    output: Output,
    namespace: str,
    out: TextIO,
    err: TextIO,
    *,
    noun: str = "operation",
    source: str = "the API",
) -> int:
    """Write the manifests, tell what became of every operation, and return the exit code.

    ``noun`` and ``source`` are what was imported, and of what.
    """
    try:
        return _write_all(made, previous, output, namespace, out, err, noun, source)
    except OSError as error:
        print(f"mcp-operator import: cannot write {error.filename}: {error.strerror}", file=err)
        return 2


def _write_all(
    made: Imported,
    previous: Previous,
    output: Output,
    namespace: str,
    out: TextIO,
    err: TextIO,
    noun: str,
    source: str,
) -> int:
    for line in outcomes.render_text(made.outcomes, noun):
        print(text.escape(line), file=err)
    for unused in made.unused:
        print(text.escape(f"warning: {unused}"), file=err)
    if output.report is not None:
        report = json.dumps(outcomes.render_json(made.outcomes, noun), indent=2, ensure_ascii=False)
        _write(output.report, text.escape_json(report) + "\n")
    if not any(raw["kind"] != "MCPServer" for raw in made.objects):
        print(f"mcp-operator import: no {noun} is imported, so nothing is written", file=err)
        return 2
    for line in _tell_needs(namespace, made.objects):
        print(text.escape(line), file=err)
    wanted = previous.keep_servers(made.objects)
    imported = "---\n".join(map(render, wanted))
    if output.file is None:
        out.write(imported)
        return _tell_findings(imported, err)
    merge = merging.merge(previous.base, [raw for raw, _ in previous.mine], wanted, source)
    written = previous.render(merge)
    told = [*merge.told, *previous.tell_lost_comments(merge)]
    _write(output.file, written)
    _write(base_of(output.file), imported)
    for line in (*told, *(f"conflict: {conflict}" for conflict in merge.conflicts)):
        print(text.escape(line), file=err)
    return max(_tell_findings(written, err), 1 if merge.conflicts else 0)


def read_description(name: str, stdin: BinaryIO | None = None) -> Description:
    """The description in a file, or on standard input (``-``). Raises UnreadableError or UnusableError."""
    if name == STDIN and stdin is not None:
        data: bytes | None = stdin.read(description.MAX_BYTES + 1)
    else:
        try:
            data = Contents(description.MAX_BYTES).read(Path(name), named=True)
        except RefusedError as error:
            if name.startswith(("http://", "https://")):
                message = f"{name}: no URL is fetched; use curl -s {name} | mcp-operator import openapi - …"
                raise UnreadableError(message) from error
            raise UnreadableError(f"{name}: {error}") from error
    try:
        return description.parse(data or b"")
    except UnusableError as error:
        raise UnusableError(f"{'standard input' if name == STDIN else name}: {error}") from error


def base_of(output: Path) -> Path:
    """Where the last import is kept: beside the manifests, hidden, and with a name that kubectl does not apply."""
    return output.with_name(f".{output.name}.imported")


@dataclass(frozen=True, slots=True)
class Previous:
    """The manifests as the user has them, each with its text, and what was imported last."""

    mine: tuple[tuple[dict[str, Any], str], ...] = ()
    base: tuple[dict[str, Any], ...] = ()

    @classmethod
    def read(cls, output: Output) -> Previous:
        """Nothing, if the import is not written into a file. Raises UnreadableError."""
        file = output.file
        if file is None:
            return cls()
        mine = tuple(_read_objects(file))
        base = tuple(raw for raw, _ in _read_objects(base_of(file)))
        if mine and not base:
            message = f"{file} exists, but {base_of(file).name} with the last import does not"
            raise UnreadableError(f"{message}; restore it, or name another file")
        return cls(mine, base)

    def keep_servers(self, made: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        """What is merged: without --server, the MCPServers of the last import stay."""
        if any(raw["kind"] == "MCPServer" for raw in made):
            return made
        return (*(raw for raw in self.base if raw.get("kind") == "MCPServer"), *made)

    def require_namespace(self, file: Path | None, namespace: str) -> None:
        """Raises UnreadableError for a file of another namespace: everything in it would be gone."""
        others = sorted({str(raw["metadata"].get("namespace")) for raw in self.base})
        if others and namespace not in others:
            message = f"{file} was imported for namespace {others[0]}, not {namespace}"
            raise UnreadableError(f"{message}; add --namespace {others[0]}, or name another file")

    def render(self, merge: Merge) -> str:
        """The merged manifests. What did not change keeps its text, with its comments."""
        texts = {merging.key_of(raw): (raw, written) for raw, written in self.mine}
        parts = []
        for raw in merge.objects:
            before = texts.get(merging.key_of(raw))
            parts.append(before[1] if before is not None and before[0] == raw else render(raw))
        return "---\n".join(part if part.endswith("\n") else f"{part}\n" for part in parts)

    def tell_lost_comments(self, merge: Merge) -> Iterator[str]:
        """The objects that are written anew although the user had comments in them."""
        after = {merging.key_of(raw): raw for raw in merge.objects}
        for raw, written in self.mine:
            key = merging.key_of(raw)
            if key in after and after[key] != raw and _COMMENT.search(written):
                yield f"comments are lost: {key[0]} {key[1]}/{key[2]} was written anew"


def _read_objects(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects of a file that this command wrote, each with its text; none if the file does not exist."""
    if not path.exists():
        return
    try:
        data = Contents().read(path, named=True) or b""
        written = data.decode()
    except (RefusedError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path}: {error}") from error
    for part in _SEPARATOR.split(written):
        found = list(documents.parse_text(Source(str(path), part)))
        fault = next((each for each in found if isinstance(each, Fault)), None)
        if fault is not None:
            raise UnreadableError(f"{path}: {fault.message}")
        if len(found) > 1:
            raise UnreadableError(f"{path}: a list of objects cannot be merged; write one object per document")
        for each in found:
            if isinstance(each, Document):
                yield each.raw, part


def _tell_findings(written: str, err: TextIO) -> int:
    """Tell what ``check`` finds in the manifests, and return 1 for an error."""
    found = list(documents.parse_text(Source("import", written)))
    sorted_ = transaction.sort_documents(
        (each for each in found if isinstance(each, Document)), (each for each in found if isinstance(each, Fault))
    )
    verdict = validation.validate_alone(sorted_)
    for each in verdict:
        if each.reason in validation.STRICT:
            continue  # `_tell_needs` says it once
        line = f"{each.level.value}: {each.ref} {format_path(each.path)}: {each.reason}: {each.message}"
        print(text.escape(line), file=err)
    return 1 if verdict.errors or sorted_.entries else 0


def _tell_needs(namespace: str, made: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The Service and the Secret that the objects refer to, which the user provides."""
    services: dict[str, None] = {}
    keys: dict[str, dict[str, str]] = {}
    for raw in made:
        service = raw["spec"].get("service")
        if service is not None:
            services[f"needed: Service {namespace}/{service['name']} with port {service['port']}"] = None
            if service["port"] == 443 and service.get("scheme", "http") == "http":
                services["note: port 443 is called with http; add --scheme https if the Service expects TLS"] = None
        for header in raw["spec"].get("headersFrom", ()):
            reference = header["secretKeyRef"]
            value = "the base64 of user:password" if header.get("prefix") == "Basic " else "the value"
            after = f", sent after '{header['prefix']}'" if header.get("prefix") else ""
            what = f"{value} of header {header['name']}{after}"
            keys.setdefault(reference["name"], {})[reference["key"]] = what
    yield from services
    for secret, found in keys.items():
        yield from (f'needed: Secret {namespace}/{secret} with key "{key}": {what}' for key, what in found.items())


def _write(path: Path, content: str) -> None:
    """Replace a file as a whole, so that an interrupted command leaves the old one. Its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class _Dumper(yaml.CSafeDumper):
    """Writes no anchors, and quotes every text that kubectl would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.CSafeDumper, data: str) -> yaml.Node:
    style = "|" if "\n" in data else None if scalars.plain(data) == data else "'"
    if UNSAFE.search(data):
        style = '"'  # see `render`
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _represent_text)


def render(raw: dict[str, Any]) -> str:
    """An object as YAML."""
    written: str = yaml.dump(raw, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    # Characters that nobody sees are in double quotes, where they can be written as escapes.
    return UNSAFE.sub(lambda match: f"\\U{ord(match[0]):08x}", written)
