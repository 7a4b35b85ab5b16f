"""Detectron2's own files: pickles of arrays, which may hold nothing that runs."""

import pickle
from pathlib import Path
from typing import Any

from vfnet_d2.checkpoint.errors import CheckpointError

# What pickled arrays are rebuilt with; numpy 2 calls its core otherwise.
_ALLOWED = {
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *(
        (f"numpy.{core}.{module}", name)
        for core in ("core", "_core")
        for module, name in (
            ("multiarray", "_reconstruct"),
            ("multiarray", "scalar"),
            ("numeric", "_frombuffer"),
        )
    ),
}


class _ArraysOnly(pickle.Unpickler):
    """Refuses whatever is neither an array nor a plain value, before it is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name stands for, if arrays are made with it."""
        if (module, name) not in _ALLOWED:
            raise CheckpointError(f"{module}.{name}")
        return super().find_class(module, name)


def check_pickle(path: str) -> None:
    """Make sure that a pickle can be read without running anything; see :func:`read_pickle`."""
    read_pickle(path)


def read_pickle(path: str | Path) -> Any:
    """Read a pickle of arrays and plain values without running anything.

    Args:
        path: of the file; Detectron2's are of ``pickle``, with Python 2's strings in old ones.

    Raises:
        CheckpointError: it holds something else than arrays and plain values, or is damaged.
    """
    try:
        with open(path, "rb") as file:
            return _ArraysOnly(file, encoding="latin1").load()
    except CheckpointError as error:
        raise CheckpointError(
            f"{path} cannot be read without {error}, which may run any code. Detectron2's own "
            "files hold arrays alone; of another's you trust, save the tensors with torch.save"
        ) from error
    # A damaged pickle may raise anything.
    except Exception as error:
        raise CheckpointError(
            f"{path} is truncated or corrupted, or no checkpoint ({error}). Get it again and "
            "compare its size and sha256 with its source's"
        ) from error
