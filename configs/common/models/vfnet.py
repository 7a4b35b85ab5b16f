"""VFNet as a LazyConfig. What is not said here is the default of the class it belongs to."""

from typing import Any

from detectron2.config import LazyCall as L
from omegaconf import DictConfig

from vfnet_d2.losses.box import GIoULoss
from vfnet_d2.losses.varifocal import VarifocalLoss
from vfnet_d2.modeling.backbone.res2net import build_res2net
from vfnet_d2.modeling.backbone.resnet import build_resnet
from vfnet_d2.modeling.dense.box_coders import LinearDistances
from vfnet_d2.modeling.dense.detectors.vfnet import VFNet
from vfnet_d2.modeling.dense.heads.vfnet_head import VFNetHead
from vfnet_d2.modeling.dense.matchers.atss import ATSSMatcher

from .pyramid import STRIDES, over_pyramid


def vfnet(*, bottom_up: DictConfig, num_classes: int = 80, channels: int = 256) -> DictConfig:
    """VFNet over a backbone and FPN levels P3-P7 of ``channels`` channels."""
    return over_pyramid(
        VFNet,
        bottom_up=bottom_up,
        head=VFNetHead,
        sizes=[[8 * stride] for stride in STRIDES],
        channels=channels,
        num_classes=num_classes,
        box_coder=L(LinearDistances)(),
        matcher=L(ATSSMatcher)(),
        cls_loss=L(VarifocalLoss)(),
        box_loss=L(GIoULoss)(),
    )


def vfnet_resnet(*, num_classes: int = 80, channels: int = 256, **resnet: Any) -> DictConfig:
    """VFNet over a ResNet or ResNeXt; ``resnet`` are arguments of ``build_resnet``."""
    return vfnet(bottom_up=L(build_resnet)(**resnet), num_classes=num_classes, channels=channels)


def vfnet_res2net(*, num_classes: int = 80, channels: int = 256, **res2net: Any) -> DictConfig:
    """VFNet over a Res2Net; ``res2net`` are arguments of ``build_res2net``."""
    return vfnet(bottom_up=L(build_res2net)(**res2net), num_classes=num_classes, channels=channels)


def deformable(model: DictConfig) -> DictConfig:
    """The same VFNet, deformable in stages c3-c5 and in the last convolution of its towers."""
    model.backbone.bottom_up.deform_on_per_stage = [False, True, True, True]
    model.head.deform_last = True
    return model
