"""Calls imported tools against a mock that Prism makes of the same description."""
