"""PURE. The four kinds as pydantic models: the one source of the CRDs, the decoder and the reference."""
