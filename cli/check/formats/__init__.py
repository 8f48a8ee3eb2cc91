"""PURE. The output formats of ``check``."""
