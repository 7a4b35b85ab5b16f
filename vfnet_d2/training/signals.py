"""Signals of a process that has started others, and the status it ends with."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from torch.multiprocessing import ProcessExitedException

from vfnet_d2.training.hooks.preemption import SAME_SIGNAL, SIGNALS


@contextmanager
def passed_to_children() -> Iterator[None]:
    """Leave it to the processes that the block starts what a signal does, and end as they do.

    Raises:
        SystemExit: a process ended because of a signal to save and end, with its status.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: dict[int, float] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        again = number in asked and time.monotonic() - asked[number] > SAME_SIGNAL
        asked.setdefault(number, time.monotonic())
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, number)
        if again and number == signal.SIGINT:
            os._exit(128 + number)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    except ProcessExitedException as error:
        if error.exit_code in {128 + number for number in SIGNALS}:
            sys.exit(error.exit_code)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
