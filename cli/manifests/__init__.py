"""PURE. Manifests as text: nodes with their positions, the transaction they form, and the verdict on it."""
