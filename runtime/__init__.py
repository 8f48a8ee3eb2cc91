"""The MCP server that the pods run."""
