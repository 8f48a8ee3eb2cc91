"""PURE. The contract between the controller and the pods: what a published catalog holds, and its bytes."""
