"""Our template with the parts of Detectron2's RetinaNet and FCOS against these models themselves.

Both share the weights: they hold the same backbone and head.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone import Backbone
from detectron2.modeling.box_regression import Box2BoxTransform, Box2BoxTransformLinear
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.meta_arch.fcos import FCOS, FCOSHead
from detectron2.modeling.meta_arch.retinanet import RetinaNet, RetinaNetHead
from detectron2.structures import Boxes, Instances, pairwise_iou
from detectron2.utils.events import EventStorage
from torch import Tensor, nn

from tests.helpers.small_model import NUM_CLASSES, random_input
from tests.helpers.tolerance import epsilon, ulp
from vfnet_d2.losses.box import GIoULoss, SmoothL1Loss
from vfnet_d2.losses.focal import FocalLoss
from vfnet_d2.modeling.dense.detectors.retinanet import OneStageRetinaNet
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.dense.structures import (
    Assignment,
    DenseBoxes,
    HeadOutputs,
    assign_each_anchor,
)

STRIDES = {"p3": 8, "p4": 16, "p5": 32}
CHANNELS = 16
HEIGHT, WIDTH = 96, 128


class Pooled(Backbone):
    """Feature maps without a network: the image's pooled colours and their powers."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map (N, 3, H, W) to a map of each stride."""
        powers = torch.cat([image**k for k in range(1, 7)], dim=1)[:, :CHANNELS]
        return {name: nn.functional.avg_pool2d(powers, stride) for name, stride in STRIDES.items()}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and strides."""
        return {name: ShapeSpec(channels=CHANNELS, stride=s) for name, s in STRIDES.items()}


class RoundedOnce(nn.Module):
    """A head in float64 whose outputs are rounded to float32: the same for both models.

    In float32 they are not: convolutions sum in another order for another memory format.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head.double()

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], ...]:
        """Give what the head gives."""
        outputs = self.head([feature.double() for feature in features])
        return tuple([level.float() for level in levels] for levels in outputs)


class TheirHead(nn.Module):
    """A head of Detectron2 behind our seam."""

    def __init__(self, head: nn.Module, num_anchors: int) -> None:
        super().__init__()
        self.head, self.num_anchors = head, num_anchors

    def forward(self, features: list[Tensor]) -> HeadOutputs:
        """Name what their head returns."""
        logits, boxes, *quality = self.head(features)
        return HeadOutputs(
            logits=logits, boxes=[DenseBoxes(boxes)], quality=quality[0] if quality else None
        )


class Clipping:
    """A box coder that clips to the image, as our detector does before the NMS and theirs after."""

    def __init__(self, coder: Any) -> None:
        self.get_deltas, self._decode = coder.get_deltas, coder.apply_deltas

    def apply_deltas(self, deltas: Tensor, anchors: Tensor) -> Tensor:
        """Decode and clip."""
        boxes = Boxes(self._decode(deltas, anchors))
        boxes.clip((HEIGHT, WIDTH))
        return boxes.tensor


class Pair(NamedTuple):
    """Their model and ours, their loss names by ours, and their first guess of the positives."""

    theirs: nn.Module
    ours: OneStageDetector
    names: dict[str, str]
    first_guess: int


def fill(head: nn.Module, *, box_bias: float) -> None:
    """Draw weights; boxes are near the anchors, so none is empty, which theirs would keep."""
    for name, parameter in head.named_parameters():
        nn.init.normal_(parameter, std=0.02 if "bbox_pred" in name else 0.1)
        if name.endswith("bbox_pred.bias"):
            nn.init.constant_(parameter, box_bias)


def shared() -> dict[str, Any]:
    return {
        "backbone": Pooled(),
        "head_in_features": list(STRIDES),
        "pixel_mean": [127.5] * 3,
        "pixel_std": [60.0] * 3,
        "num_classes": NUM_CLASSES,
        "max_detections_per_image": 50,
    }


def retinanets(coder: Any) -> Pair:
    shapes = list(Pooled().output_shape().values())
    head = RetinaNetHead(
        input_shape=shapes, num_classes=NUM_CLASSES, num_anchors=9, conv_dims=[CHANNELS] * 2
    )
    fill(head, box_bias=0.0)
    head = RoundedOnce(head)
    rule = Matcher([0.4, 0.5], [0, -1, 1], allow_low_quality_matches=True)
    parts = shared() | {
        "anchor_generator": DefaultAnchorGenerator(
            sizes=[[4 * s * 2 ** (k / 3) for k in range(3)] for s in STRIDES.values()],
            aspect_ratios=[[0.5, 1.0, 2.0]],
            strides=list(STRIDES.values()),
        )
    }

    def matcher(anchors: Sequence[Boxes], targets: Sequence[Instances], **_: Any) -> Assignment:
        flat = Boxes.cat(list(anchors))
        found = [rule(pairwise_iou(target.gt_boxes, flat)) for target in targets]
        return assign_each_anchor(*(torch.stack(x) for x in zip(*found, strict=True)))

    theirs = RetinaNet(
        head=head,
        box2box_transform=coder,
        anchor_matcher=rule,
        smooth_l1_beta=0.1,
        test_score_thresh=0.3,
        test_topk_candidates=200,
        test_nms_thresh=0.5,
        **parts,
    )
    ours = OneStageRetinaNet(
        head=TheirHead(head, 9),
        box_coder=coder,
        matcher=matcher,
        cls_loss=FocalLoss(),
        box_loss=SmoothL1Loss(beta=0.1),
        box_loss_weights=[1.0],
        score_thresh=0.3,
        topk_candidates=200,
        nms_thresh=0.5,
        **parts,
    )
    return Pair(theirs, ours, {"loss_cls": "loss_cls", "loss_bbox": "loss_box_reg"}, 100)


def fcoses(coder: Any) -> Pair:
    shapes = list(Pooled().output_shape().values())
    head = FCOSHead(input_shape=shapes, num_classes=NUM_CLASSES, conv_dims=[CHANNELS] * 2)
    fill(head, box_bias=1.0)
    head = RoundedOnce(head)
    # Theirs selects candidates by the product of class score and centerness, ours by the class
    # score: so that both take the same, both take all.
    every = NUM_CLASSES * HEIGHT * WIDTH
    theirs = FCOS(
        head=head,
        box2box_transform=coder,
        test_score_thresh=0.0,
        test_topk_candidates=every,
        test_nms_thresh=0.6,
        **shared(),
    )

    def matcher(anchors: Sequence[Boxes], targets: Sequence[Instances], **_: Any) -> Assignment:
        # It gives the class and the box itself of each point, not the box's number.
        classes, boxes = theirs.label_anchors(list(anchors), list(targets))
        gt_idxs = [
            (found[:, None] == target.gt_boxes.tensor).all(2).int().argmax(1)
            for found, target in zip(_tensors(boxes), targets, strict=True)
        ]
        positive = torch.stack(list(classes)) < NUM_CLASSES
        return assign_each_anchor(torch.stack(gt_idxs), positive.to(torch.int8))

    ours = OneStageDetector(
        head=TheirHead(head, 1),
        anchor_generator=theirs.anchor_generator,
        box_coder=coder,
        matcher=matcher,
        cls_loss=FocalLoss(),
        box_loss=GIoULoss(),
        box_loss_weights=[1.0],
        score_thresh=0.0,
        topk_candidates=every,
        nms_thresh=0.6,
        **shared(),
    )
    names = {
        "loss_cls": "loss_fcos_cls",
        "loss_bbox": "loss_fcos_loc",
        "loss_centerness": "loss_fcos_ctr",
    }
    return Pair(theirs, ours, names, 300)


def _tensors(boxes: Sequence[Any]) -> list[Tensor]:
    """Detectron2's versions differ in whether they wrap them."""
    return [x.tensor if isinstance(x, Boxes) else x for x in boxes]


def inputs() -> list[dict[str, Any]]:
    return [random_input(HEIGHT, WIDTH, count, seed=count) for count in (4, 7)]


@pytest.mark.parametrize(
    ("build", "coder"),
    [(retinanets, Box2BoxTransform((1.0,) * 4)), (fcoses, Box2BoxTransformLinear())],
)
def test_equal_losses(build: Any, coder: Any) -> None:
    pair = build(coder)
    matched: list[Assignment] = []
    matcher = pair.ours.matcher
    pair.ours.matcher = lambda *args, **sizes: (
        matched.append(matcher(*args, **sizes)),
        matched[-1],
    )[1]
    ours = pair.ours.train()(inputs())
    with EventStorage():
        theirs = pair.theirs.train()(inputs())
    [assignment] = matched
    positives = int((assignment.labels == 1).sum())
    assert ((assignment.labels == 1).sum(1) > 0).all()
    # Theirs divides by a moving average of the positives that starts from a guess.
    average = 0.9 * pair.first_guess + 0.1 * positives
    assert set(ours) == set(pair.names) and set(theirs) == set(pair.names.values())
    for name, value in ours.items():
        expected = theirs[pair.names[name]].item() * average / positives
        # fvcore's losses are of float32. Each term, none negative, is wrong by some ten roundings;
        # torch adds in four levels, at most n**0.25 one after the other on each. Both sides round,
        # each by half an epsilon at most.
        terms = sum(x.shape[2] * x.shape[3] for x in Pooled()(inputs()[0]["image"][None]).values())
        roundings = 10 + 4 * (terms * 9 * NUM_CLASSES * len(inputs())) ** 0.25
        assert value.item() == pytest.approx(expected, rel=roundings * epsilon()), name


@pytest.mark.parametrize(
    ("build", "coder", "power"),
    # Theirs ranks FCOS' boxes by the square root of the product, ours by the product.
    [(retinanets, Box2BoxTransform((1.0,) * 4), 1), (fcoses, Box2BoxTransformLinear(), 2)],
)
def test_equal_detections(build: Any, coder: Any, power: int) -> None:
    pair = build(Clipping(coder))
    with torch.no_grad():
        ours, theirs = pair.ours.eval()(inputs()), pair.theirs.eval()(inputs())
    for one, other in zip(ours, theirs, strict=True):
        one, other = one["instances"], other["instances"]
        assert len(one) == 50
        assert one.pred_classes.tolist() == other.pred_classes.tolist()
        # Both decode the same float32 outputs of the head by the same formula; between a vector
        # loop and its remainder exp differs by an ulp, and the additions that follow round a few
        # times more, to the spacing of numbers as large as a box before it is clipped.
        torch.testing.assert_close(
            one.pred_boxes.tensor, other.pred_boxes.tensor, rtol=0, atol=4 * ulp(2.0 * WIDTH)
        )
        # Two sigmoids, a product, a square root and a square: each rounds scores below 1 once or,
        # where it is an approximation, twice.
        torch.testing.assert_close(one.scores, other.scores**power, rtol=0, atol=8 * ulp(0.99))
