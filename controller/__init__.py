"""Makes the cluster match our objects: workloads, published catalogs, statuses, and the installation of admission."""
