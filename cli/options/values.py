"""What the value of an option may be. Each function takes its text, and raises ArgumentTypeError."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from crd import addresses

if TYPE_CHECKING:
    from cli.commands.mcp_imports import Source

__all__ = [
    "domain",
    "duration",
    "header_source",
    "interval",
    "label",
    "namespace_name",
    "namespaces",
    "port",
    "service",
    "tokens",
]


def header_source(text: str) -> Source:
    """A header, and where its value is."""
    from cli.commands.mcp_imports import Source

    name, _, rest = text.partition("=")
    kind, _, where = rest.partition(":")
    if not name or kind not in ("env", "file") or not where:
        message = "must be NAME=env:VARIABLE or NAME=file:FILE; a value is not taken from the command line"
        raise argparse.ArgumentTypeError(message)
    return Source(name, variable=where) if kind == "env" else Source(name, file=Path(where))


def service(text: str) -> tuple[str, int | str]:
    """The name of a Service and a port of it, by number or name."""
    name, _, target = text.partition(":")
    if not addresses.is_label(name) or not addresses.is_label(target):
        raise argparse.ArgumentTypeError(f'must be NAME:PORT such as orders:8080, got "{text}"')
    if not target.isdecimal():
        return name, target
    if not 1 <= int(target) <= 65535:
        raise argparse.ArgumentTypeError(f"the port must be a number from 1 to 65535, got {target}")
    return name, int(target)


def namespace_name(text: str) -> str:
    """The name of a namespace: a DNS label."""
    if not addresses.is_label(text):
        raise argparse.ArgumentTypeError(
            f'must be lower-case letters, digits and "-", starting and ending with a letter or digit, got "{text}"'
        )
    return text


def tokens(text: str) -> int:
    """A number of tokens; at least 1."""
    if not text.isdecimal() or not int(text[:9]):
        raise argparse.ArgumentTypeError(f'must be a number of tokens such as 4000, got "{text}"')
    return int(text[:9])


def port(text: str) -> int:
    """The number of a port to listen on or to connect to; 0 is any free port."""
    if not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        raise argparse.ArgumentTypeError(f'must be a port number up to 65535, got "{text}"')
    return int(text)


def interval(text: str) -> float:
    """Seconds, from 0.1 to a day."""
    return _seconds(text, "0.1")


def duration(text: str) -> float:
    """Seconds, from 0 to a day."""
    return _seconds(text, "0")


def _seconds(text: str, lowest: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not float(lowest) <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f'must be a number of seconds from {lowest} to 86400, got "{text}"')
    return seconds


def label(text: str) -> tuple[str, str]:
    """A label: its key and its value."""
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise argparse.ArgumentTypeError(f'must be KEY=VALUE, got "{text}"')
    return key, value


def namespaces(text: str) -> tuple[str, ...]:
    """The names of namespaces, in order."""
    names = tuple(sorted({name.strip() for name in text.split(",")}))
    for name in names:
        if not addresses.is_label(name):
            raise argparse.ArgumentTypeError(f'must be names of namespaces such as shop,bank, got "{text}"')
    return names


def domain(text: str) -> str:
    """A DNS domain, as an argument. It becomes a part of every host name that pods call."""
    if not addresses.is_domain(text):
        raise argparse.ArgumentTypeError(f'must be a DNS domain such as cluster.local, got "{text}"')
    return text
