"""PURE. Prompts: their messages with the arguments in them, and what an argument may be completed to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crd.published import template
from runtime.mcp import jsonrpc
from runtime.mcp.jsonrpc import RpcError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crd.published.entries import Message, Prompt
    from runtime.app.compiled import Serving

__all__ = ["completed", "got", "rendered"]

MAX_VALUE = 8192
# The most that a completion may hold (MCP, completion/complete).
MAX_COMPLETIONS = 100


def got(current: Serving, prompt: Prompt, arguments: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The result of prompts/get. Raises RpcError for a missing or unsuitable argument."""
    values = _values(prompt, arguments)
    described = {"description": prompt.description} if prompt.description else {}
    said = [
        {"role": message.role, "content": _content(current, message, values, version)} for message in prompt.messages
    ]
    return {**described, "messages": said}


def rendered(prompt: Prompt, arguments: Mapping[str, Any]) -> str:
    """The prompt as plain text, for its door: the texts of its messages, a resource by its URI, a blank line between.

    Raises RpcError as `got`.
    """
    values = _values(prompt, arguments)
    return "\n\n".join(
        message.resource or "" if message.text is None else template.render(message.text, values)
        for message in prompt.messages
    )


def completed(choices: Sequence[str], begun: str) -> dict[str, Any]:
    """The result of completion/complete: the choices that begin so, whatever their case."""
    fitting = [choice for choice in choices if choice.lower().startswith(begun.lower())]
    shown = fitting[:MAX_COMPLETIONS]
    return {"completion": {"values": shown, "total": len(fitting), "hasMore": len(shown) < len(fitting)}}


def _values(prompt: Prompt, arguments: Mapping[str, Any]) -> dict[str, str]:
    values: dict[str, str] = {}
    for variable in prompt.variables:
        value = arguments.get(variable.name, variable.default)
        if value is None and variable.required:
            raise RpcError(jsonrpc.INVALID_PARAMS, f'argument "{variable.name}" of prompt {prompt.name} is required')
        if value is not None and (not isinstance(value, str) or len(value) > MAX_VALUE):
            raise RpcError(jsonrpc.INVALID_PARAMS, f'argument "{variable.name}" is a string of at most {MAX_VALUE}')
        if value is not None and variable.enum and value not in variable.enum:
            choices = ", ".join(variable.enum)
            raise RpcError(jsonrpc.INVALID_PARAMS, f'argument "{variable.name}" is one of: {choices}')
        values[variable.name] = value or ""
    return values


def _content(current: Serving, message: Message, values: Mapping[str, str], version: str) -> dict[str, Any]:
    """One content block. What stands in the catalog goes along whole; what a backend holds goes as a link.

    Links came with 2025-06-18; before it a URI is text.
    """
    if message.text is not None:
        return {"type": "text", "text": template.render(message.text, values)}
    uri = message.resource or ""
    inline = current.resources.get(uri)
    if inline is not None:
        part = {"text": inline.text} if inline.blob is None else {"blob": inline.blob}
        return {"type": "resource", "resource": {"uri": uri, "mimeType": inline.mime_type, **part}}
    if version < "2025-06-18":
        return {"type": "text", "text": uri}
    found = current.backed(uri)
    if found is None:
        return {"type": "resource_link", "uri": uri, "name": uri}
    entry = found[0]
    told = {"title": entry.title, "description": entry.description, "mimeType": entry.mime_type}
    return {
        "type": "resource_link",
        "uri": uri,
        "name": entry.name,
        **{name: value for name, value in told.items() if value},
    }
