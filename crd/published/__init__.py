"""PURE. The contract between the controller and the pods: the content and the encoding of a published catalog."""
