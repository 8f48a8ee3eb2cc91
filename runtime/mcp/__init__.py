"""PURE. The Model Context Protocol: JSON-RPC, eras, methods, lists, prompts, headers, schemas and URI templates."""
