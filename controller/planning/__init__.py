"""PURE. From the state of one object to the writes that bring it to its desired state."""
