"""PURE. The report of ``check`` and its formats."""
