"""HTTP in both directions: server, MCP endpoint, REST paths and origins; and the client for backends."""
