"""PURE. The rules, one module per subject. `crd.integrity` decides which of them apply to a change."""
