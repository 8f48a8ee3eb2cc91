"""Makes the cluster say what the catalog says."""
