"""PURE. Servers in the formats of other programs."""
