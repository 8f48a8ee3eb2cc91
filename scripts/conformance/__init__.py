"""The conformance suite of MCP, run against the servers of this project: `make conformance`."""
