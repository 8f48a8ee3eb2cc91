"""The subcommands. They read files and clusters and print; the pure packages beside this one decide."""
