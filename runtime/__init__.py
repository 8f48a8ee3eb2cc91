"""The MCP server that runs in the pods of an MCPServer."""

from importlib.metadata import version

VERSION = version("mcp-operator")
