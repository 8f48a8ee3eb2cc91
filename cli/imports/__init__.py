"""PURE. From the description of an HTTP API (OpenAPI 3.0 and 3.1) to manifests, and back to what has changed in it."""
