"""Backends that are MCP servers themselves."""
