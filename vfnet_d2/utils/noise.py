"""Warnings and log lines of libraries about themselves, of which a user can change nothing."""

import logging
import warnings

_MESSAGES = ("torch.meshgrid: in an upcoming release", ".*torch.jit.script.*")


def silence_libraries() -> None:
    """Hide the known ones in this process. For programs, before they import the libraries.

    The package itself never calls it: a program's warnings are its own affair.
    """
    for message in _MESSAGES:
        warnings.filterwarnings("ignore", message=message)
    # Tells machines without a GPU that they have none.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
