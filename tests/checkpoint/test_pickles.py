"""Tests of vfnet_d2.checkpoint.pickles."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.pickles import check_pickle

ARRAYS = {
    "model": OrderedDict(a=np.ones((2, 3), np.float32), b=np.asfortranarray(np.ones((2, 3)))),
    "counter": np.int64(3),
    "__author__": "torchvision",
    "matching_heuristics": True,
}


def save(path: Path, content: Any, protocol: int = 4) -> str:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return str(path)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol_pass(protocol: int, tmp_path: Path) -> None:
    check_pickle(save(tmp_path / "a.pkl", ARRAYS, protocol))


def test_arrays_of_numpy_1_pass(tmp_path: Path) -> None:
    # Protocol 2 writes names as text: "numpy._core.multiarray" is "numpy.core.multiarray" there.
    data = pickle.dumps(ARRAYS, protocol=2).replace(b"cnumpy._core.", b"cnumpy.core.")
    (tmp_path / "a.pkl").write_bytes(data)
    check_pickle(str(tmp_path / "a.pkl"))


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_hostile_file_is_refused_and_does_not_run(protocol: int, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "trace"),)

    path = save(tmp_path / "a.pkl", {**ARRAYS, "more": Hostile()}, protocol)
    with pytest.raises(CheckpointError, match=r"a\.pkl cannot be read without posix\.mkdir, which"):
        check_pickle(path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("kept", [0, 10, -5])
def test_a_truncated_file_is_refused(kept: int, tmp_path: Path) -> None:
    path = Path(save(tmp_path / "a.pkl", ARRAYS))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"a\.pkl is truncated or corrupted"):
        check_pickle(str(path))
