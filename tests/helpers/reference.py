"""Reference networks: their stored results, their inputs and our networks filled like them."""

import json
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode, instantiate
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from tests.helpers.fill_rule import filled
from vfnet_d2.checkpoint.convert.mmdet_keys import from_mmdet
from vfnet_d2.model_zoo import get_config

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
# All references have the same two images; only this file holds them.
IMAGES = DATA / "vfnet_r50_fpn.npz"
# One implementation on every device.
DEFORM_CONV = "grid_sample"

# Case A has all ground truth, in B the second image has none, in C no image has any.
CASES = ("A", "B", "C")
LOSSES = {"loss_cls": "loss_cls", "loss_bbox": "loss_bbox", "loss_bbox_refine": "loss_bbox_rf"}


class Stored(NamedTuple):
    """A stored map: a part of it, and figures over all of it."""

    part: np.ndarray
    channels: tuple[int, int]
    stride: int
    mean: float
    std: float


class Reference:
    """The stored results of one network; see the attributes of the same names in the file.

    Args:
        path: the npz file.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path) as arrays:
            self.arrays = {name: arrays[name] for name in arrays.files}
        if "image0" not in self.arrays:
            with np.load(IMAGES) as arrays:
                self.arrays |= {name: arrays[name] for name in ("image0", "image1")}
        self.meta: dict[str, Any] = json.loads(str(self.arrays["meta_json"]))

    def ours(self, name: str) -> str:
        """Our name of one of the reference's parameters."""
        return from_mmdet(name, res2net="res2net" in self.meta["model"])

    def stored(self, name: str) -> Stored:
        """The map called ``name``."""
        about = self.meta["arrays"][name]
        return Stored(
            self.arrays[name],
            tuple(about["channels"]),
            about["stride"],
            about["mean"],
            about["std"],
        )

    def noise(self, name: str) -> float:
        """Largest difference between the float32 and the float64 run of the reference itself."""
        return self.meta["fp64_maxabsdiff_and_std"][name][0]

    @cached_property
    def gradient_names(self) -> list[str]:
        """Reference names of the trainable parameters, in the order of the stored norms."""
        return json.loads(str(self.arrays["grad.names"]))

    def state_dict(self) -> dict[str, Tensor]:
        """The filled state under our names, without the counters that nobody reads.

        Whether frozen layers have ``num_batches_tracked`` differs between Detectron2's versions.
        """
        return {
            self.ours(name): self.filled(name, shape)
            for name, shape, dtype in self.meta["state"]
            if "int" not in dtype
        }

    def filled(self, name: str, shape: Sequence[int]) -> Tensor:
        """One of the reference's tensors, with the factor that the file gives for some."""
        factors = self.meta.get("rule_mult", {}).items()
        factor = next((factor for pattern, factor in factors if re.search(pattern, name)), 1.0)
        return torch.from_numpy(filled(name, shape, factor=factor))

    def inputs(self, case: str | None = None) -> list[dict[str, Any]]:
        """Both images as a data loader gives them, with the ground truth of a case."""
        inputs = []
        for index, about in enumerate(self.meta["images"]):
            pixels = torch.from_numpy(self.arrays[f"image{index}"]).permute(2, 0, 1).float()
            height, width = about["ori"]
            item: dict[str, Any] = {"image": pixels, "height": height, "width": width}
            if case is not None:
                empty = case == "C" or (case == "B" and index == 1)
                item["instances"] = self.targets(index, empty=empty)
            inputs.append(item)
        return inputs

    def targets(self, index: int, *, empty: bool = False) -> Instances:
        """Ground truth of an image."""
        rows = np.array(self.meta["gt"][index], np.float32).reshape(-1, 5)[: 0 if empty else None]
        targets = Instances(tuple(self.meta["images"][index]["hw"]))
        targets.gt_boxes = Boxes(torch.from_numpy(rows[:, :4].copy()))
        targets.gt_classes = torch.from_numpy(rows[:, 4]).long()
        return targets


def vfnet_r50_config() -> CfgNode:
    """The shipped R-50 config, on the CPU and without weights."""
    return reference_config("vfnet_R_50_1x")


def reference_config(name: str) -> CfgNode:
    """A shipped YAML config, on the CPU and without weights."""
    cfg = get_config(name)
    cfg.MODEL.WEIGHTS = ""
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.ONE_STAGE.DEFORM_CONV = DEFORM_CONV
    return cfg


def build_unfilled(name: str, *, suffix: str = ".yaml") -> nn.Module:
    """Build a shipped config, ".yaml" or ".py", on the CPU with its own initial weights."""
    if suffix == ".yaml":
        return build_model(reference_config(name))
    lazy = get_config(name, suffix=suffix)
    lazy.model.deform_conv = DEFORM_CONV
    return instantiate(lazy.model)


def build_reference_model(
    reference: Reference, name: str = "vfnet_R_50_1x", *, suffix: str = ".yaml"
) -> nn.Module:
    """Build a shipped config and fill it by the reference's rule."""
    model = build_unfilled(name, suffix=suffix)
    result = model.load_state_dict(reference.state_dict(), strict=False)
    unfilled = [key for key in result.missing_keys if not key.endswith("num_batches_tracked")]
    if unfilled or result.unexpected_keys:
        raise AssertionError(f"not filled: {unfilled}; unknown: {result.unexpected_keys}")
    return model
