"""PURE. The page about clients, made from their profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd.clients.listing import WITHOUT_EFFECT
from crd.clients.profiles import PROFILES
from crd.clients.tolerances import TOLERANCES

if TYPE_CHECKING:
    from crd.clients.profiles import Fact

__all__ = ["render_clients"]


def render_clients() -> str:
    """The profiles, each with its limits, their sources and dates."""
    keywords = ", ".join(f"`{keyword}`" for keyword in sorted(WITHOUT_EFFECT))
    lines = [
        "# Clients",
        "",
        "What clients and model APIs refuse in a tool, as far as it is known, with the source and date of each fact.",
        "[ClientPortability](../errors/ClientPortability.md) reports it: as an error where an official SDK loses the",
        "tool or the list, or where the server names the client in `spec.clients`, else as a warning if the limit is",
        'marked "always".',
        "",
        "A tool is judged as it is listed. What can be changed without changing the meaning is changed in the list and",
        "never in the stored object: boolean schemas become objects, `items: false` after `prefixItems` becomes",
        "`maxItems`, an enum has no value twice, and in an inputSchema an object has `properties` and an array has",
        f"`items`. Left out are {keywords};",
        "`$defs`, `definitions`, `$id` and anchors if there is no reference; and the `$id` of the root unless a",
        "reference names it, because the official TypeScript SDK takes two tools with one `$id` for the same.",
        "",
    ]
    for profile in PROFILES:
        official = " (official SDK)" if profile.official else ""
        lines += [f"## {profile.name}", "", f"{profile.title[0].upper()}{profile.title[1:]}{official}.", ""]
        lines += ["| limit | value | otherwise lost | reported | source | seen |", "|---|---|---|---|---|---|"]
        for fact in profile.facts:
            reported = "always" if fact.announced else "if named"
            value = _value(fact)
            lines.append(
                f"| {fact.limit.value} | {value} | {fact.loss.value} | {reported} | {fact.source} | {fact.date} |"
            )
        lines.append("")
    lines += [
        "## Tolerated faults",
        "",
        "What clients do against the specification although their meaning is clear. A fault that is tolerated is read",
        "as what the client means; any other is answered as the specification says. `spec.tolerances` of an MCPServer",
        "has a switch for each.",
        "",
        "| switch | the client's fault | tolerated | source |",
        "|---|---|---|---|",
    ]
    for each in TOLERANCES:
        default = "by default" if each.by_default else "if switched on"
        lines.append(f"| `{each.fault}` | {each.what} | {default} | {each.source} |")
    return "\n".join([*lines, ""])


def _value(fact: Fact) -> str:
    values = fact.value if isinstance(fact.value, tuple) else (str(fact.value),)
    return ", ".join(f"`{value}`" for value in values if value)
