"""What goes wrong with checkpoints."""


class CheckpointError(ValueError):
    """A file that cannot be used; the message names the file, what was expected and what to do."""
