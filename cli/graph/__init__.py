"""PURE. The graph of servers, members and Services, and its renderings."""

__all__ = ["FORMATS"]

# The keys of `cli.graph.rendering.FORMATS`. The parser of arguments needs no more, and loads in every process.
FORMATS = ("text", "mermaid", "dot")
