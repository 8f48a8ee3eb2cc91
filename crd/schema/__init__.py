"""PURE. JSON Schemas (2020-12) as tools use them: what is safe, what is satisfiable, what breaks callers."""
