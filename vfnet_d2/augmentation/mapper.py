"""From a dataset dict to a model's input, for augmentations that look at the boxes."""

import copy
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper
from detectron2.data import detection_utils as utils
from detectron2.data.transforms import AugInput
from detectron2.structures import BoxMode

import vfnet_d2.augmentation.random_shift  # noqa: F401 - registers it
from vfnet_d2.augmentation.registry import build_augmentations


class BoxAwareMapper(DatasetMapper):
    """Detectron2's ``DatasetMapper``, which shows the boxes to the augmentations.

    They are those of the objects that count, crowds excepted, and move along from one augmentation
    to the next. Semantic segmentation and proposals are not read.
    """

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        """Add the augmentations of ``INPUT.AUGMENTATIONS`` after Detectron2's own, in training."""
        arguments: dict[str, Any] = super().from_config(cfg, is_train)
        if is_train:
            arguments["augmentations"] += build_augmentations(cfg.INPUT.AUGMENTATIONS)
        return arguments

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Read and augment an image; in training, its objects with it.

        Args:
            dataset_dict: in Detectron2's format, with "file_name".
        """
        item = copy.deepcopy(dataset_dict)
        image = utils.read_image(item["file_name"], format=self.image_format)
        utils.check_image_size(item, image)
        boxes = [
            BoxMode.convert(annotation["bbox"], annotation["bbox_mode"], BoxMode.XYXY_ABS)
            for annotation in item.get("annotations", ())
            if not annotation.get("iscrowd", 0)
        ]
        seen = AugInput(image, boxes=np.asarray(boxes, dtype=np.float64).reshape(-1, 4))
        transforms = self.augmentations(seen)
        height, width = seen.image.shape[:2]
        item["image"] = torch.as_tensor(np.ascontiguousarray(seen.image.transpose(2, 0, 1)))
        if not self.is_train:
            item.pop("annotations", None)
        elif "annotations" in item:
            self._transform_annotations(item, transforms, (height, width))
        return item


def training_mapper(cfg: CfgNode) -> DatasetMapper:
    """Return the mapper of a YAML config's training images.

    Raises:
        ValueError: ``INPUT.AUGMENTATIONS.NAMES`` has an unknown name.
    """
    kind = BoxAwareMapper if cfg.INPUT.AUGMENTATIONS.NAMES else DatasetMapper
    return kind(cfg, is_train=True)
