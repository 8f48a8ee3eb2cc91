"""The console command `mcp-operator`."""


def main() -> int:
    """Placeholder entry until the parser stands."""
    return 0
