"""PURE. The rules: one module a family. `crd.integrity` decides which of them a change has to pass."""
