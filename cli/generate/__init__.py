"""PURE. The generated files, made from the models."""
