"""PURE. Which server exposes what, backed by which Service, and how that is drawn."""
