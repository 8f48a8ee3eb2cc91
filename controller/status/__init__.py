"""PURE. What the status of each kind says."""
