"""A detector that is nothing like the family: no backbone, grid, anchors, matcher or NMS."""

# ruff: noqa: D102 - the protocol documents the methods

from typing import Any, ClassVar

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn
from torch.nn import functional as F

from vfnet_d2.modeling.detector import InferenceSettings, in_original_size
from vfnet_d2.modeling.suppression import KeepAll


@META_ARCH_REGISTRY.register()
class MeanColourDetector(nn.Module):
    """Finds one object of each class an image, told from the mean colour; K scores, one box."""

    num_classes_key: ClassVar[str] = "MODEL.ROI_HEADS.NUM_CLASSES"

    @configurable
    def __init__(self, *, num_classes: int, input_format: str = "RGB") -> None:
        super().__init__()
        self.num_classes, self.input_format = num_classes, input_format
        self.register_buffer("pixel_mean", torch.full((3, 1, 1), 128.0), persistent=False)
        self.register_buffer("pixel_std", torch.full((3, 1, 1), 64.0), persistent=False)
        self.scores, self.sides = nn.Linear(3, num_classes), nn.Linear(3, 4)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {"num_classes": cfg.MODEL.ROI_HEADS.NUM_CLASSES, "input_format": cfg.INPUT.FORMAT}

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    @property
    def inference_settings(self) -> InferenceSettings:
        return InferenceSettings(0.05, 100, KeepAll())

    def classifiers(self) -> dict[str, int]:
        return {"scores": 1}

    def preprocess_image(self, batched_inputs: Any) -> ImageList:
        images = [
            (x["image"].to(self.device) - self.pixel_mean) / self.pixel_std for x in batched_inputs
        ]
        return ImageList.from_tensors(images)

    def network(self, images: Tensor) -> tuple[Tensor, Tensor]:
        colour = images.mean(dim=(2, 3))
        return self.scores(colour), self.sides(colour).sigmoid()

    def forward(self, batched_inputs: Any) -> Any:
        if not self.training:
            return self.inference(batched_inputs)
        logits, sides = self.network(self.preprocess_image(batched_inputs).tensor)
        given = [x["instances"].to(self.device) for x in batched_inputs]
        present = [F.one_hot(x.gt_classes, self.num_classes).amax(0).float() for x in given]
        scales = [sides.new_tensor([*x.image_size[::-1]] * 2) for x in given]
        boxes = [x.gt_boxes.tensor.mean(0) / scale for x, scale in zip(given, scales, strict=True)]
        return {
            "loss_cls": F.binary_cross_entropy_with_logits(logits, torch.stack(present)),
            "loss_bbox": F.l1_loss(sides, torch.stack(boxes)),
        }

    def inference(self, batched_inputs: Any, settings: InferenceSettings | None = None) -> Any:
        limit = (settings or self.inference_settings).score_thresh
        images = self.preprocess_image(batched_inputs)
        found = []
        for logits, sides, size in zip(
            *self.network(images.tensor), images.image_sizes, strict=True
        ):
            scores, classes = logits.sigmoid().sort(descending=True)
            corners = sides.view(2, 2).sort(dim=0).values * sides.new_tensor(size[::-1])
            boxes = corners.flatten().repeat(len(scores), 1)
            result = Instances(size, pred_boxes=Boxes(boxes), scores=scores, pred_classes=classes)
            found.append(result[scores > limit])
        return in_original_size(found, batched_inputs)
