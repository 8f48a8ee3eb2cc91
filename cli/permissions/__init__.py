"""PURE. Who may call which tool: what authentication and required scopes of the manifests allow."""
