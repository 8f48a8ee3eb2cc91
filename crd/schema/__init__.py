"""PURE. JSON Schemas (2020-12) of tools: validity, limits, satisfiability, and changes that break callers."""
