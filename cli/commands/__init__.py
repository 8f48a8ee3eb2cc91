"""The subcommands that read files, ask clusters and print; what they decide is in the pure packages beside this one."""
