"""A real local Kubernetes without Docker: for trying things out, and as a fixture of tests."""

from scripts.localcluster.cluster import Cluster, down, find, running, up

__all__ = ["Cluster", "down", "find", "running", "up"]
