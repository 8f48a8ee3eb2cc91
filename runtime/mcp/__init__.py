"""PURE. The Model Context Protocol: messages, eras, lists, prompts, headers and URI templates."""
