"""PURE. Prompts: their messages with the arguments filled in, and completion of arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crd.published import template
from runtime.mcp import jsonrpc
from runtime.mcp.jsonrpc import RpcError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crd.published.entries import InlineResource, Message, Prompt
    from runtime.app.compiled import CompiledCatalog

__all__ = ["complete", "embed", "get", "render"]

MAX_VALUE = 8192
# The most that a completion may hold (MCP, completion/complete).
MAX_COMPLETIONS = 100


def get(compiled: CompiledCatalog, prompt: Prompt, arguments: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The result of prompts/get. Raises RpcError for a missing or invalid argument."""
    values = _check_arguments(prompt, arguments)
    messages = [
        {"role": message.role, "content": _content(compiled, message, values, version)} for message in prompt.messages
    ]
    description = {"description": prompt.description} if prompt.description else {}
    return {**description, "messages": messages}


def render(prompt: Prompt, arguments: Mapping[str, Any]) -> str:
    """The prompt as plain text, for its REST path: texts, and resources by URI, separated by blank lines.

    Raises RpcError as `get` does.
    """
    values = _check_arguments(prompt, arguments)
    return "\n\n".join(
        message.resource or "" if message.text is None else template.render(message.text, values)
        for message in prompt.messages
    )


def complete(choices: Sequence[str], prefix: str) -> dict[str, Any]:
    """The result of completion/complete: the choices with this prefix, ignoring case."""
    matching = [choice for choice in choices if choice.lower().startswith(prefix.lower())]
    shown = matching[:MAX_COMPLETIONS]
    return {"completion": {"values": shown, "total": len(matching), "hasMore": len(shown) < len(matching)}}


def embed(resource: InlineResource) -> dict[str, Any]:
    """An inline resource as MCP resource contents."""
    content = {"text": resource.text} if resource.blob is None else {"blob": resource.blob}
    return {"uri": resource.uri, "mimeType": resource.mime_type, **content}


def _check_arguments(prompt: Prompt, arguments: Mapping[str, Any]) -> dict[str, str]:
    """The value of every variable. An optional one without a value is empty. Raises RpcError with all faults."""
    values: dict[str, str] = {}
    faults = []
    for variable in prompt.variables:
        name = variable.name
        value = arguments.get(name)
        if value is None:
            value = variable.default
        if value is None:
            if variable.required:
                faults.append(f'missing required argument "{name}" of prompt "{prompt.name}"')
            values[name] = ""
        elif not isinstance(value, str) or len(value) > MAX_VALUE:
            faults.append(f"/{name}: must be a string of at most {MAX_VALUE} characters")
        elif variable.enum and value not in variable.enum:
            faults.append(f"/{name}: must be one of {', '.join(variable.enum)}")
        else:
            values[name] = value
    if faults:
        raise RpcError(jsonrpc.INVALID_PARAMS, "; ".join(faults))
    return values


def _content(compiled: CompiledCatalog, message: Message, values: Mapping[str, str], version: str) -> dict[str, Any]:
    """One content block. An inline resource is embedded; a resource of a backend is linked.

    Versions before 2025-06-18 have no links: there the URI becomes text.
    """
    if message.text is not None:
        return {"type": "text", "text": template.render(message.text, values)}
    uri = message.resource or ""
    inline = compiled.resources.get(uri)
    if inline is not None:
        return {"type": "resource", "resource": embed(inline)}
    if version < "2025-06-18":
        return {"type": "text", "text": uri}
    match = compiled.find_backed_resource(uri)
    if match is None:
        return {"type": "resource_link", "uri": uri, "name": uri}
    entry = match[0]
    optional = {"title": entry.title, "description": entry.description, "mimeType": entry.mime_type}
    present = {name: value for name, value in optional.items() if value}
    return {"type": "resource_link", "uri": uri, "name": entry.name, **present}
