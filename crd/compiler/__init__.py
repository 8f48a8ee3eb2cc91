"""PURE. Compile the objects that an MCPServer selects into the catalog that its pods serve."""
