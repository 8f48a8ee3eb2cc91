"""The official clients, as they are: installed with npm, and asked by tests and `make clients`."""
