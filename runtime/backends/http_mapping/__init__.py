"""PURE. Between the arguments of a tool and HTTP: the request to a backend, and its reply."""
