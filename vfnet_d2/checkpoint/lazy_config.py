"""LazyConfigs inside checkpoints: text that is built again only from parts on a list.

A LazyConfig names what it calls, so that building one of a stranger's file could run anything.
"""

from typing import Any, NamedTuple

import yaml
from detectron2.utils.registry import locate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.utils.old_targets import current_target

_TARGET = "_target_"
# What models and test mappers of the shipped configs are made of; a test compares.
TARGETS = frozenset(
    [
        "detectron2.data.dataset_mapper.DatasetMapper",
        "detectron2.data.transforms.augmentation_impl.ResizeShortestEdge",
        "detectron2.modeling.anchor_generator.DefaultAnchorGenerator",
        "vfnet_d2.losses.box.GIoULoss",
        "vfnet_d2.losses.box.SmoothL1Loss",
        "vfnet_d2.losses.focal.FocalLoss",
        "vfnet_d2.losses.quality_focal.QualityFocalLoss",
        "vfnet_d2.losses.varifocal.VarifocalLoss",
        "vfnet_d2.modeling.backbone.dilated_encoder.DilatedEncoder",
        "vfnet_d2.modeling.backbone.fpn.build_fpn",
        "vfnet_d2.modeling.backbone.res2net.build_res2net",
        "vfnet_d2.modeling.backbone.resnet.build_resnet",
        "vfnet_d2.modeling.dense.box_coders.CentreSizeDeltas",
        "vfnet_d2.modeling.dense.box_coders.ClampedShiftDeltas",
        "vfnet_d2.modeling.dense.box_coders.CornerOffsets",
        "vfnet_d2.modeling.dense.box_coders.LinearDistances",
        "vfnet_d2.modeling.dense.box_coders.LogDistances",
        "vfnet_d2.modeling.dense.detectors.atss.ATSS",
        "vfnet_d2.modeling.dense.detectors.atss.FCOSATSS",
        "vfnet_d2.modeling.dense.detectors.foveabox.FoveaBox",
        "vfnet_d2.modeling.dense.detectors.reppoints.RepPoints",
        "vfnet_d2.modeling.dense.detectors.retinanet.OneStageRetinaNet",
        "vfnet_d2.modeling.dense.detectors.vfnet.VFNet",
        "vfnet_d2.modeling.dense.detectors.yolof.YOLOF",
        "vfnet_d2.modeling.dense.heads.reppoints_head.RepPointsHead",
        "vfnet_d2.modeling.dense.heads.tower_head.TowerHead",
        "vfnet_d2.modeling.dense.heads.vfnet_head.VFNetHead",
        "vfnet_d2.modeling.dense.heads.yolof_head.YOLOFHead",
        "vfnet_d2.modeling.dense.matchers.atss.ATSSMatcher",
        "vfnet_d2.modeling.dense.matchers.fovea.FoveaMatcher",
        "vfnet_d2.modeling.dense.matchers.max_iou.MaxIoUMatcher",
        "vfnet_d2.modeling.dense.matchers.point.PointMatcher",
        "vfnet_d2.modeling.dense.matchers.uniform.UniformMatcher",
    ]
)


class LazyParts(NamedTuple):
    """What a prediction needs of a LazyConfig, as plain values that ``instantiate`` takes.

    Attributes:
        model: the detector.
        mapper: of the test set.
    """

    model: dict[str, Any]
    mapper: dict[str, Any]


class UnlistedPartError(ValueError):
    """A LazyConfig has a part that is not built from a file; the message names it."""


def lazy_text(cfg: DictConfig) -> str:
    """Return the YAML text of what a prediction depends on: model and test mapper.

    Args:
        cfg: the LazyConfig of a training.

    Raises:
        UnlistedPartError: it has a part that :func:`parts_from_text` would refuse.
    """
    try:
        found = [cfg.model, cfg.dataloader.test.mapper]
        model, mapper = (_plain(OmegaConf.to_container(node, resolve=True)) for node in found)
    except (OmegaConfBaseException, AttributeError) as error:
        raise UnlistedPartError(str(error).splitlines()[0]) from error
    return str(yaml.safe_dump(LazyParts(model, mapper)._asdict(), sort_keys=False))


def parts_from_text(text: str, path: object) -> LazyParts:
    """Return the parts of :func:`lazy_text`'s result; building them runs nothing unlisted.

    Args:
        text: YAML.
        path: of the file it is from, for the message.

    Raises:
        CheckpointError: it is no such text, or names a part that is not on the list.
    """
    try:
        values = yaml.safe_load(text)
        parts = LazyParts(**{name: _plain(node) for name, node in values.items()})
        if not all(isinstance(part, dict) and _TARGET in part for part in parts):
            raise UnlistedPartError("model or mapper does not name what it is")
    except (yaml.YAMLError, AttributeError, TypeError, UnlistedPartError) as error:
        raise CheckpointError(
            f"the LazyConfig in {path} is not built: {error}. Only the parts of shipped configs "
            "are, since a config may run any code. If you trust the file, pass the config of its "
            "training: Predictor(weights, config=FILE), or --config-file FILE"
        ) from error
    return parts


def _plain(value: Any) -> Any:
    """Copy plain values, with the listed name of each part."""
    if isinstance(value, dict):
        return {
            key: _listed_name(item) if key == _TARGET else _plain(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UnlistedPartError(f"it holds a {type(value).__name__}, {value!r}")


def _listed_name(target: Any) -> str:
    """The name on the list of what a config calls."""
    # A name recorded before its module moved.
    if isinstance(target, str) and current_target(target) in TARGETS:
        return current_target(target)
    if callable(target):
        name = f"{target.__module__}.{getattr(target, '__qualname__', type(target).__name__)}"
        if name in TARGETS and locate(name) is target:
            return name
        raise UnlistedPartError(f"it calls {name}, which is not on the list of parts")
    raise UnlistedPartError(f"it calls {target!r}, which is not on the list of parts")
