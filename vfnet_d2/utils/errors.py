"""The base of errors that are the user's to correct."""


class UserError(ValueError):
    """Something given cannot be used; the message names it, what was expected and what to do.

    Command lines show the message without a traceback.
    """
