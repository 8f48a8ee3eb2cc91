"""PURE. Clients and model APIs as data: what each refuses in a tool, with the source and the date of every fact.

A fact is here because somebody saw it or documented it, not because it would be tidy. `announced` facts break a whole
request or list of a common client, so they draw a warning for every tool; the other facts count only on a server that
names the profile in ``spec.clients``, because many adapters convert what they are about.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NAMED", "NAMES", "PROFILES", "ClientName", "Fact", "Limit", "Loss", "Profile"]

ClientName = Literal[
    "typescript-sdk", "python-sdk", "anthropic", "openai", "openai-strict", "gemini", "cursor", "vscode"
]


class Limit(StrEnum):
    """What a fact limits. `crd.clients.portability` has one check for each."""

    TOOL_NAME = "the name of a tool matches this expression"
    TOOL_NAME_LENGTH = "the name of a tool has at most so many characters"
    ROOT_KEYWORDS = "none of these keywords is at the root of inputSchema"
    PROPERTY_NAME = "the names of arguments match this expression"
    INPUT_ECMA = "patterns of inputSchema are regular expressions of ECMA-262 with the u flag"
    INPUT_PYTHON = "patterns of inputSchema compile with Python's re"
    INPUT_DEPTH = "objects and arrays in inputSchema nest at most so deep"
    INPUT_KEYWORDS = "none of these keywords is anywhere in inputSchema"
    INTEGERS = "the schemas allow no integer with a larger absolute value, as far as they state a range"
    INPUT_TYPED = "every schema in inputSchema has one type"
    REQUIRED_DECLARED = "what an object requires is among its properties"
    ENUM_OF_STRINGS = "values of enum in inputSchema are strings"
    ALL_REQUIRED = "every property is required and additionalProperties is false"
    OUTPUT_ECMA = "patterns of outputSchema are regular expressions of ECMA-262 with the u flag"
    OUTPUT_PYTHON = "patterns of outputSchema compile with Python's re"
    OUTPUT_AJV = "outputSchema has none of what Ajv refuses to compile"
    OUTPUT_DRAFT_07 = "outputSchema accepts no value that it refuses when it is read as draft-07"


class Loss(StrEnum):
    """What a user of the client loses."""

    LIST = "every tool of the server"
    TOOL = "the tool"
    REQUEST = "every request that offers the tool"
    DIGITS = "the last digits of such numbers"


@dataclass(frozen=True, slots=True)
class Fact:
    """One limit, with its value, what exceeding it costs, and who says so. ``date`` is when it was last seen."""

    limit: Limit
    value: str | int | tuple[str, ...]
    loss: Loss
    source: str
    date: str
    announced: bool = True


@dataclass(frozen=True, slots=True)
class Profile:
    """A client or model API. Where an ``official`` SDK would lose something, the tool is refused everywhere."""

    name: ClientName
    title: str
    facts: tuple[Fact, ...]
    official: bool = False


_AJV = "npm @modelcontextprotocol/sdk 1.32.2 (dist/esm/validation/ajv-provider.js), run in tests/clients"
_PYTHON = "PyPI mcp 2.3.0 (mcp/client/session.py, validate_tool_result), run in tests/clients"
_OPENAI_STRICT = (
    "https://platform.openai.com/docs/guides/structured-outputs#supported-schemas, as read by "
    "https://jsonschemaprofiles.unitvectorylabs.com/schemas/openai"
)

PROFILES: tuple[Profile, ...] = (
    Profile(
        "typescript-sdk",
        "the official TypeScript SDK",
        (
            Fact(Limit.OUTPUT_ECMA, "u", Loss.LIST, _AJV, "2026-11-26"),
            Fact(
                Limit.OUTPUT_AJV,
                ("enum", "$anchor", "$dynamicAnchor", "$id", "__proto__"),
                Loss.LIST,
                _AJV,
                "2026-11-26",
            ),
            Fact(Limit.OUTPUT_DRAFT_07, "draft-07", Loss.TOOL, _AJV, "2026-11-26"),
            Fact(
                Limit.INPUT_ECMA,
                "u",
                Loss.TOOL,
                "JSON Schema 2020-12 Core, section 6.4; agents in JavaScript compile inputSchema with the same Ajv",
                "2026-11-26",
            ),
            Fact(
                Limit.INTEGERS,
                2**53 - 1,
                Loss.DIGITS,
                "ECMA-262, section 6.1.6.1 (numbers are doubles), run in tests/clients; RFC 8259, section 6",
                "2026-11-26",
            ),
        ),
        official=True,
    ),
    Profile(
        "python-sdk",
        "the official Python SDK",
        (
            Fact(Limit.OUTPUT_PYTHON, "re", Loss.TOOL, _PYTHON, "2026-11-26"),
            Fact(
                Limit.INPUT_PYTHON,
                "re",
                Loss.TOOL,
                "PyPI jsonschema 4.26 (check_schema, format regex); agents in Python check arguments with it",
                "2026-11-26",
                announced=False,
            ),
        ),
        official=True,
    ),
    Profile(
        "anthropic",
        "the Anthropic API",
        (
            Fact(
                Limit.ROOT_KEYWORDS,
                ("oneOf", "allOf", "anyOf"),
                Loss.REQUEST,
                "https://github.com/kenn-io/kata/pull/365, https://github.com/mobile-next/mobile-mcp/issues/344",
                "2026-09-14",
            ),
            Fact(
                Limit.PROPERTY_NAME,
                r"[a-zA-Z0-9_.-]{1,64}",
                Loss.REQUEST,
                "https://github.com/decocms/studio/pull/6874, https://github.com/ComposioHQ/composio/issues/3500",
                "2026-09-02",
            ),
            Fact(
                Limit.TOOL_NAME,
                r"[a-zA-Z0-9_-]{1,128}",
                Loss.REQUEST,
                "https://github.com/nicobailon/pi-mcp-adapter/pull/190, https://github.com/whoz-oss/coday/pull/1239",
                "2026-08-19",
            ),
        ),
    ),
    Profile(
        "openai",
        "the OpenAI API",
        (
            Fact(
                Limit.ROOT_KEYWORDS,
                ("oneOf", "anyOf", "allOf", "enum", "not"),
                Loss.REQUEST,
                "https://github.com/langchain-ai/langchainjs/issues/9804",
                "2026-01-14",
            ),
            Fact(
                Limit.TOOL_NAME,
                r"[a-zA-Z0-9_-]{1,64}",
                Loss.REQUEST,
                "https://github.com/openai/codex/issues/8174, https://github.com/mogenius/mogenius-operator/pull/840",
                "2026-03-10",
            ),
        ),
    ),
    Profile(
        "openai-strict",
        "the OpenAI API in strict mode",
        (
            Fact(Limit.ALL_REQUIRED, "", Loss.REQUEST, _OPENAI_STRICT, "2026-02-01", announced=False),
            Fact(Limit.INPUT_DEPTH, 10, Loss.REQUEST, _OPENAI_STRICT, "2026-02-01", announced=False),
            Fact(
                Limit.INPUT_KEYWORDS,
                ("allOf", "oneOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else"),
                Loss.REQUEST,
                _OPENAI_STRICT,
                "2026-02-01",
                announced=False,
            ),
        ),
    ),
    Profile(
        "gemini",
        "the Gemini API",
        (
            Fact(
                Limit.TOOL_NAME,
                r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}",
                Loss.REQUEST,
                "https://github.com/google-gemini/gemini-cli/issues/9535, https://github.com/kaitranntt/ccs/issues/25",
                "2025-11-30",
            ),
            Fact(
                Limit.ENUM_OF_STRINGS,
                "",
                Loss.REQUEST,
                "https://github.com/microsoft/azure-devops-mcp/issues/145, https://github.com/decolua/9router/pull/380",
                "2026-03-21",
            ),
            Fact(
                Limit.REQUIRED_DECLARED,
                "",
                Loss.REQUEST,
                "https://github.com/google-gemini/gemini-cli/issues/1458",
                "2025-07-30",
            ),
            Fact(
                Limit.INPUT_TYPED,
                "",
                Loss.REQUEST,
                "https://github.com/unclecode/crawl4ai/issues/1311, https://github.com/directus/mcp/issues/8, "
                "https://github.com/zed-industries/zed/issues/44875",
                "2026-02-14",
                announced=False,
            ),
            Fact(
                Limit.INPUT_KEYWORDS,
                ("const",),
                Loss.REQUEST,
                "https://github.com/zed-industries/zed/issues/45552",
                "2025-12-23",
                announced=False,
            ),
        ),
    ),
    Profile(
        "cursor",
        "Cursor",
        (
            Fact(
                Limit.TOOL_NAME_LENGTH,
                52,
                Loss.TOOL,
                "https://github.com/PostHog/posthog/pull/51483 (60 characters with the name of the server)",
                "2026-03-18",
                announced=False,
            ),
        ),
    ),
    Profile(
        "vscode",
        "Visual Studio Code",
        (
            Fact(
                Limit.ROOT_KEYWORDS,
                ("oneOf", "anyOf", "allOf", "enum", "not"),
                Loss.REQUEST,
                "it offers the tools to the OpenAI API: https://github.com/langchain-ai/langchainjs/issues/9804",
                "2026-01-14",
                announced=False,
            ),
            Fact(
                Limit.TOOL_NAME,
                r"[a-zA-Z0-9_-]{1,64}",
                Loss.REQUEST,
                "it offers the tools to the OpenAI API: https://github.com/openai/codex/issues/8174",
                "2025-12-17",
                announced=False,
            ),
        ),
    ),
)
NAMED: Mapping[str, Profile] = {each.name: each for each in PROFILES}
NAMES: tuple[ClientName, ...] = get_args(ClientName)
