"""PURE. The files that are made from the models."""
