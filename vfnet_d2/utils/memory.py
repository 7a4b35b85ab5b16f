"""How this process deals with memory that it has freed."""

import ctypes
import os
import sys

# Numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
# Whoever sets one of these has decided for himself.
_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_")


def keep_freed_memory() -> bool:
    """Have freed memory stay with the process, for the next tensor; return whether it does.

    glibc hands freed feature maps back to the system, which gives them out again page by page,
    filled with zeros: some 3 to 5 % of the time of a step on a CPU (docs/performance.md). The
    largest amount of memory in use grows by a few percent at most. For programs, which own their
    process; a library's user calls it himself. Other allocators and systems, and MALLOC_ variables
    in the environment, are left alone.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _SETTINGS):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - other C libraries take other numbers
        mallopt = library.mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))
