"""The options of the subcommands. What a subcommand does is imported when it runs, since most of it is large."""
