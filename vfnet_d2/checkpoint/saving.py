"""What a checkpoint must hold, and what is said where it cannot be written."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vfnet_d2.checkpoint.errors import SaveError
from vfnet_d2.utils.errors import first_line

# Entries of weights; the optimizer's state may hold infinities, as AMSGrad's maxima.
WEIGHTS = ("model", "ema")
_SHOWN = 3


def check_finite(content: Mapping[str, Any], path: Path) -> None:
    """Raise FloatingPointError if weights that are to be written are not finite.

    Args:
        content: of the file; those of "model" and "ema" are looked at.
        path: of the file, for the message.
    """
    wrong = [
        name
        for entry in WEIGHTS
        for name, value in content.get(entry, {}).items()
        if isinstance(value, Tensor) and value.is_floating_point() and not _finite(value)
    ]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise FloatingPointError(
            f"{path} is not written, because the weights are not finite: "
            f"{', '.join(wrong[:_SHOWN])}{more}. The checkpoint before it is the last one. Go on "
            "from there with a lower learning rate, or with limited gradients"
        )


def _finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value).all())


@contextmanager
def explained(path: Path, content: Mapping[str, Any]) -> Iterator[None]:
    """Turn what goes wrong in writing a checkpoint into an error that says what to do.

    Args:
        path: of the file.
        content: of the file, for the size it needs.

    Raises:
        SaveError: the block raised OSError, or the RuntimeError of ``torch.save``.
    """
    try:
        yield
    # torch.save raises RuntimeError where a write fails.
    except (OSError, RuntimeError) as error:
        raise SaveError(
            f"cannot save {path}: {first_line(error).rstrip('.')}. {_space(path)}; the file needs "
            f"about {_megabytes(_size(content))}. The checkpoint before it, if there is one, is as "
            "it was: free space or mend the folder, then go on with --resume"
        ) from error


@contextmanager
def needed(folder: Path) -> Iterator[None]:
    """Say so where a block fails to write because its output folder is gone.

    Raises:
        SaveError: the block raised OSError, and there is no such folder.
    """
    try:
        yield
    except OSError as error:
        if folder.is_dir() or isinstance(error, SaveError):
            raise
        raise SaveError(f"{gone(folder)}. {_space(folder / 'x')}") from error


def gone(folder: Path) -> str:
    """Return what is said of an output folder that was there and is not any more."""
    return f"the folder {folder} is gone, with what was in it: deleted, or its disk not mounted"


def _space(path: Path) -> str:
    """Return how much room there is, in the nearest folder above the path that is there."""
    folder = next((parent for parent in path.absolute().parents if parent.is_dir()), Path("/"))
    try:
        return f"{_megabytes(shutil.disk_usage(folder).free)} are free in {folder}"
    except OSError:
        return f"{folder} cannot be read"


def _size(content: Any) -> int:
    """Return the bytes of the tensors in nested dicts and lists."""
    if isinstance(content, Tensor):
        return content.numel() * content.element_size()
    if isinstance(content, Mapping):
        return sum(_size(value) for value in content.values())
    if isinstance(content, list | tuple):
        return sum(_size(value) for value in content)
    return 0


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
