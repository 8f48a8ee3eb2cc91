"""Benchmarks: each prints its figures, taken in one run, for docs/benchmarks.md."""
