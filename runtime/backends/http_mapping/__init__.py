"""PURE. The mapping between tools and HTTP: arguments to a request, a reply to a result."""
