"""The process of a pod: settings, catalog store, and what is compiled of a catalog."""
