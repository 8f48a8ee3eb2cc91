"""PURE. The Kubernetes objects that one MCPServer is made of: which there are, and what stands in each.

`controller.workloads.children` is the way in; the other modules build one group of objects each.
"""
