"""The command ``vfnet``: argument parsing, one module a subcommand; import the defining module."""
