"""Checkpoints of other projects: the names of real ones, with tensors of a few bytes."""

import functools
import gzip
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.helpers.reference import DATA
from vfnet_d2.checkpoint.metadata import PUBLISHED_INPUT, Metadata

# The reference networks whose complete state dicts are listed, and our name of each architecture.
ARCHITECTURES = {
    "vfnet_r50_fpn": "vfnet_R_50",
    "vfnet_r101_fpn": "vfnet_R_101",
    "vfnet_r50_mdconv": "vfnet_R_50_DCN",
    "vfnet_x101_64x4d_mdconv": "vfnet_X_101_64x4d_DCN",
    "vfnet_res2net101_mdconv": "vfnet_R2_101_DCN",
}

# What a converted R-50 may say about itself.
METADATA = Metadata(
    architecture="vfnet_R_50",
    detector="VFNet",
    configs=["vfnet_R_50_1x"],
    num_classes=2,
    classifier_dropped=False,
    class_names=["cat", "dog"],
    source_file="a.pth",
    source_sha256="00ff",
    input_convention=PUBLISHED_INPUT,
)

# What the architecture is read off; all other tensors may as well have one element.
_TELLING = re.compile(
    r".*\.vfnet_cls\.(weight|bias)|.*conv_offset\.weight|.*layer1\.0\.(conv2|convs\.0)\.weight"
)


@functools.cache
def _key_lists() -> dict[str, list[tuple[str, list[int]]]]:
    return json.loads(gzip.decompress((DATA / "mmdet_keys.json.gz").read_bytes()))


def mmdet_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a reference network's state dict; ``name`` as in ARCHITECTURES."""
    return {key: tuple(shape) for key, shape in _key_lists()[name]}


def thin_state(name: str) -> dict[str, Tensor]:
    """A state dict with mmdet's names, each tensor filled with a number of its own."""
    state = {}
    for index, (key, shape) in enumerate(mmdet_shapes(name).items()):
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(index)
            continue
        telling = _TELLING.fullmatch(key) is not None
        thin = [
            side if telling and dimension < (1 if "offset" in key or "vfnet" in key else 2) else 1
            for dimension, side in enumerate(shape)
        ]
        state[key] = torch.full(thin, float(index))
    return state


def save_mmdet(path: Path, state: Mapping[str, Any], **entries: Any) -> Path:
    """Write a file of mmdet 2.x; ``entries`` stand beside the state dict."""
    torch.save({"meta": {}, "state_dict": dict(state), **entries}, path)
    return path
