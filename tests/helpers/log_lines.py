"""Reading what a logger says, whatever earlier tests have set up for it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Keep(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()}")


@contextmanager
def log_lines(name: str, *, level: int = logging.NOTSET) -> Iterator[list[str]]:
    """The lines "LEVEL message" of a logger while the context lasts.

    Args:
        name: of the logger.
        level: from which on it speaks; by default what was set up for it.

    A run sets up Detectron2's logging, which cuts this package's loggers off from the root, where
    pytest's own ``caplog`` listens.
    """
    logger, keep = logging.getLogger(name), _Keep()
    before = logger.level
    logger.addHandler(keep)
    logger.setLevel(level or before)
    try:
        yield keep.lines
    finally:
        logger.removeHandler(keep)
        logger.setLevel(before)
