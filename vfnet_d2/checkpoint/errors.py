"""What goes wrong with checkpoints."""

from vfnet_d2.utils.errors import UserError


class CheckpointError(UserError):
    """A file that cannot be used; the message names the file, what was expected and what to do."""


class SaveError(OSError):
    """A checkpoint cannot be written; says where, why and what to do."""
