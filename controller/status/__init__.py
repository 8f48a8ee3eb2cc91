"""PURE. The status of each kind."""
