"""``mcp-operator dev``: the MCPServers of files on one loopback port, without a cluster."""
