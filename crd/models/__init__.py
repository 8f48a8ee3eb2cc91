"""PURE. The four kinds as pydantic models: the single source of the CRDs, the decoder and the reference."""
