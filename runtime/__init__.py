"""The MCP server that runs in the pods of an MCPServer."""

VERSION = "0.1.0"
