"""The base of errors that are the user's to correct, and the short form of any error."""


class UserError(ValueError):
    """Something given cannot be used; the message names it, what was expected and what to do.

    Command lines show the message without a traceback.
    """


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
