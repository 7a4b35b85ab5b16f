"""Signals that end a training: its state is saved first."""

import logging
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from detectron2.engine import HookBase
from detectron2.utils import comm

logger = logging.getLogger(__name__)

# Clusters warn with SIGTERM or SIGUSR1. SIGUSR1 ends the training as well: what follows the
# warning is the end of the job, and work done between the two would be lost.
SIGNALS = [
    signal.Signals[name] for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)
]
# Launchers pass on what the terminal has sent to all processes already.
SAME_SIGNAL = 1.0
# For all processes to end their step; one that is dead would be waited for without end.
_PATIENCE = 120.0


class PreemptedError(SystemExit):
    """Ends a process whose training was asked to end; its status is the signal's, as in shells.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def report(self, checkpoint: str, *, done: int) -> None:
        """Log what was saved, and the command that goes on.

        Args:
            checkpoint: of the state.
            done: iterations.
        """
        logger.warning(
            "Ended by %s after iteration %s; the state is in %s. Go on with: %s",
            signal.Signals(self.number).name,
            f"{done:,}",
            checkpoint,
            resume_command(sys.argv),
        )


class Preemption(HookBase):
    """Ends a training after the iteration in which one of its processes was asked to end.

    Stands after the periodic checkpoint and before evaluations, which take long. The state is
    saved by who catches :class:`PreemptedError`.
    """

    def __init__(self) -> None:
        self._asked: int | None = None
        self._agreed: int | None = None
        self._since = 0.0
        self._interruptible = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Wait for signals in the block, where they can be waited for: in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """End the block itself at a signal, since nothing in it is to be saved.

        Not where several processes evaluate together: the others would wait.
        """
        if self._agreed is not None:
            raise PreemptedError(self._agreed)
        if comm.get_world_size() > 1:
            yield
            return
        if self._asked is not None:
            raise PreemptedError(self._asked)
        self._interruptible = True
        try:
            yield
        except Exception as error:
            # Such as a worker process that was ended by the same signal.
            if self._asked is not None:
                raise PreemptedError(self._asked) from error
            raise
        finally:
            self._interruptible = False

    def after_step(self) -> None:
        """Raise PreemptedError in all processes if one of them was asked to end."""
        asked = [number for number in comm.all_gather(self._asked) if number is not None]
        if asked:
            self._agreed = asked[0]
            raise PreemptedError(self._agreed)

    def _handle(self, number: int, frame: FrameType | None) -> Any:
        del frame
        now = time.monotonic()
        if self._asked is not None:
            if number == signal.SIGINT and now - self._since > SAME_SIGNAL:
                _say("Second Ctrl-C: ending without saving")
                os._exit(128 + number)
            return
        self._asked, self._since = number, now
        name = signal.Signals(number).name
        if self._interruptible:
            raise PreemptedError(number)
        _say(f"{name}: saving the state after this iteration; Ctrl-C ends at once")
        if comm.get_world_size() > 1:
            watch = threading.Timer(_PATIENCE, self._give_up)
            watch.daemon = True
            watch.start()

    def _give_up(self) -> None:
        if self._agreed is None and self._asked is not None:
            _say(f"The other processes did not end their step within {_PATIENCE:.0f} s: ending")
            os._exit(128 + self._asked)


def _say(text: str) -> None:
    """Write a line to the terminal: loggers and print may be in the middle of one."""
    os.write(2, f"{text}\n".encode())


def resume_command(argv: list[str]) -> str:
    """Return the command line that goes on with a training.

    Args:
        argv: that started it.

    >>> resume_command(["/usr/bin/vfnet", "train", "my data", "--ema"])
    "vfnet train --resume 'my data' --ema"
    >>> resume_command(["train_net.py", "--config-file", "a.yaml", "SEED", "1"])
    'python train_net.py --resume --config-file a.yaml SEED 1'
    """
    program, *rest = argv
    if program.endswith("__main__.py"):
        start = ["python", "-m", Path(program).parent.name]
    elif program.endswith(".py"):
        launcher = ["torchrun", "..."] if "TORCHELASTIC_RUN_ID" in os.environ else ["python"]
        start = [*launcher, program]
    else:
        start = [Path(program).name]
    if rest[:1] == ["train"]:
        start, rest = [*start, "train"], rest[1:]
    flag = [] if "--resume" in rest else ["--resume"]
    return shlex.join([*start, *flag, *rest])
