"""PURE. The kinds of the API, the rules that decide whether objects are admitted, and the published catalogs."""
