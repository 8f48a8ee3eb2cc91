"""The process of a pod, and the catalog that it serves."""
