"""PURE. The Kubernetes objects of one MCPServer: which it has, and their content.

`controller.workloads.children` is the entry point; each other module builds one group of objects.
"""
