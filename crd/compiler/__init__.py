"""PURE. From the objects of one MCPServer to the catalog that its pods serve."""
