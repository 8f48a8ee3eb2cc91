"""PURE. Manifests as text: nodes with positions, documents, the transaction they form, and its validation."""
