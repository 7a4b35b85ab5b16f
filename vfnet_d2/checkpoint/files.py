"""Reading and writing checkpoint files, without running what they hold and whole or not at all."""

import hashlib
import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.metadata import ENTRY
from vfnet_d2.checkpoint.pickles import read_pickle
from vfnet_d2.utils.files import write_whole

SAFETENSORS = ".safetensors"
SUFFIXES = (".pth", SAFETENSORS)

# Entries that hold the tensors, in the order in which they are looked for.
STATE_ENTRIES = ("state_dict", "model")


class Discarded:
    """Takes the place of harmless objects that nobody here needs, such as training histories."""

    def __new__(cls, *args: Any) -> "Discarded":
        """Accept and forget whatever the original was made of."""
        del args
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Forget the state."""


# What mmdet's training checkpoints pickle beside tensors and plain values: the histories of its
# message hub, and numpy's arrays, scalars and types in them. None of it is imported or called.
_DISCARDED = [
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",
    "__builtin__.getattr",
    "numpy.ndarray",
    "numpy.dtype",
    *(
        f"numpy.{core}.multiarray.{name}"
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ),
]


class Contents(NamedTuple):
    """A checkpoint file that was read.

    Attributes:
        state: tensors by name.
        rest: the other entries of the file.
    """

    state: dict[str, Tensor]
    rest: dict[str, Any]


def read_file(
    path: str | Path, *, skip_histories: bool = False, unsafe_pickle: bool = False
) -> dict[str, Any]:
    """Read a file of torch or safetensors.

    Args:
        path: of the file; safetensors and Detectron2's pickles of arrays (.pkl) are known by their
            suffix.
        skip_histories: read past the objects that mmdet's training leaves in its files.
        unsafe_pickle: let the file run code. Only for files from people you trust.

    Returns:
        the file's dict; for safetensors, "model" and the header's entries, JSON decoded.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: it cannot be read, or it needs code to be read.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    if str(path).endswith(".pkl"):
        return _checked(_as_tensors(read_pickle(path)), path)
    try:
        if str(path).endswith(SAFETENSORS):
            return _read_safetensors(path)
        _check_sums(path)
        if unsafe_pickle:
            return _checked(torch.load(path, map_location="cpu", weights_only=False), path)
        return _checked(_read_plain(path, skip_histories=skip_histories), path)
    except CheckpointError:
        raise
    # torch has no type of its own for what it cannot read, and a damaged pickle may raise anything.
    except Exception as error:
        # torch advises to read the file unsafely before it says what it met.
        said = str(error).rpartition("WeightsUnpickler error:")[2]
        reason = said.strip().splitlines() or [type(error).__name__]
        raise CheckpointError(
            f"{path} is truncated or corrupted, or no checkpoint ({reason[0]}). Get it again and "
            "compare its size and sha256 with its source's"
        ) from error


def _as_tensors(value: Any) -> Any:
    """Turn the arrays of nested dicts into tensors."""
    if isinstance(value, dict):
        return {key: _as_tensors(inner) for key, inner in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return torch.from_numpy(np.array(value))
    return value


def _read_safetensors(path: str | Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    content: dict[str, Any] = {"model": state}
    if ENTRY in header:
        content[ENTRY] = json.loads(header[ENTRY])
    return content


def _check_sums(path: str | Path) -> None:
    """Compare the checksums inside a zipped file, which torch writes and does not compare."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            wrong = file.testzip()
        if wrong is not None:
            raise ValueError(f"its part {wrong} has another checksum than was written")


def _read_plain(path: str | Path, *, skip_histories: bool) -> Any:
    """Read tensors and plain values; anything else is refused."""
    names = _DISCARDED if skip_histories else []
    stand_ins: list[Callable | tuple[Callable, str]] = [(Discarded, name) for name in names]
    with torch.serialization.safe_globals(stand_ins):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            _refuse_code(path, error)
            raise


def _checked(content: Any, path: str | Path) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a dict of tensors")
    return content


def _refuse_code(path: str | Path, error: pickle.UnpicklingError) -> None:
    """Say so if a file was refused because it names something that is neither tensor nor plain."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    if found:
        raise CheckpointError(
            f"{path} cannot be read without {found.group(1)}, which may run any code. "
            "tools/convert_checkpoint.py reads mmdet's own files without running anything, and "
            "others with --unsafe-pickle, if you trust whoever made them"
        ) from error


def contents_of(content: dict[str, Any], path: str | Path) -> Contents:
    """Find the tensors in a file's dict.

    Args:
        content: of :func:`read_file`.
        path: for messages.

    Raises:
        CheckpointError: no tensors, or something else among them.
    """
    entry = next((key for key in STATE_ENTRIES if isinstance(content.get(key), dict)), None)
    state = dict(content if entry is None else content[entry])
    wrong = [
        name
        for name, value in state.items()
        if not (isinstance(name, str) and isinstance(value, Tensor))
    ]
    if wrong or not state:
        raise CheckpointError(
            f"{path} holds no state dict: expected tensors by name, under one of "
            f"{list(STATE_ENTRIES)} or at the top, but " + _found(state, wrong)
        )
    rest = {} if entry is None else {k: v for k, v in content.items() if k != entry}
    return Contents(state, rest)


def _found(state: dict[Any, Any], wrong: list[Any]) -> str:
    if not wrong:
        return "it is empty"
    if not isinstance(wrong[0], str):
        return f"one is named {wrong[0]!r}, a {type(wrong[0]).__name__} (of {len(state)} entries)"
    return f"{wrong[0]!r} is a {type(state[wrong[0]]).__name__} (of {len(state)} entries)"


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def write_checkpoint(
    target: str | Path, state: dict[str, Tensor], metadata: dict[str, Any]
) -> None:
    """Write tensors in Detectron2's layout, with this project's metadata.

    Args:
        target: ``.pth``, or ``.safetensors`` with the metadata in its header.
        state: tensors by our names.
        metadata: plain values.
    """
    # Neither format may hold views: one would write the whole storage, the other refuses.
    state = {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
    if str(target).endswith(SAFETENSORS):
        header = {"format": "pt", ENTRY: json.dumps(metadata)}
        write_whole(target, lambda path: save_file(state, path, metadata=header))
        return
    # Detectron2 matches names by similarity only where a file asks for it.
    content = {"model": state, ENTRY: metadata, "matching_heuristics": False}
    write_whole(target, lambda path: torch.save(content, path))


def check_suffix(target: str | Path) -> None:
    """Raise CheckpointError unless the file's suffix says what to write."""
    if not str(target).endswith(SUFFIXES):
        raise CheckpointError(f"cannot write {target}: its name must end in one of {SUFFIXES}")
