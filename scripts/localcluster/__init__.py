"""A local Kubernetes cluster without Docker, for development and as a test fixture."""

from scripts.localcluster.cluster import Cluster, down, find, running, up

__all__ = ["Cluster", "down", "find", "running", "up"]
