"""Worker processes of a data loader, which outlive the signals that their training is to handle."""

import os
import signal
import threading


def leave_signals_to_parent(worker: int) -> None:
    """Let a worker ignore the signals that clusters and terminals send to whole process groups.

    Otherwise it ends before the training has asked it for the last batches, which then fails. A
    SIGTERM from the training itself still ends it.

    Args:
        worker: its number; what ``DataLoader`` calls ``worker_init_fn`` with.
    """
    del worker
    for name in ("SIGINT", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # neither macOS nor Windows, where workers end
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_for_parent, daemon=True).start()


def _end_for_parent() -> None:
    """End this process when its parent asks for it, and for nobody else."""
    while True:
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid == os.getppid():
            os._exit(0)
