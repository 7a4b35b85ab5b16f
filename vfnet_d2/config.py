"""Config keys of this project for Detectron2's YAML system."""

import logging
from typing import Any, NamedTuple

import yaml

from vfnet_d2.utils.errors import UserError
from vfnet_d2.utils.requirements import require_detectron2

try:
    from detectron2.config import CfgNode
except ModuleNotFoundError:
    require_detectron2()
    raise

from detectron2.modeling import META_ARCH_REGISTRY

import vfnet_d2.augmentation.mapper  # noqa: F401 - registers the augmentations
from vfnet_d2.augmentation.registry import augmentations_node
from vfnet_d2.modeling.backbone.dilated_encoder import DilatedEncoder
from vfnet_d2.modeling.backbone.fpn import build_fpn
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.dense.parts import KEY, PartKind, settings_of
from vfnet_d2.utils.registry import defaults_node, kind_node, plain_default

# Keys of earlier versions, which only chose between equal results or repeated what the backbone
# says, and their defaults. Configs that have them still load.
RETIRED_KEYS: dict[str, Any] = {
    f"{KEY}.MEMORY_FORMAT": "auto",
    f"{KEY}.FOLD_NORMS": True,
    f"{KEY}.HEAD.VFNetHead.STAR_CONV": "auto",
    f"{KEY}.HEAD.VFNetHead.SPARSE_REFINEMENT": True,
    f"{KEY}.HEAD.RepPointsHead.STAR_CONV": "auto",
    f"{KEY}.SUPPRESSION.ClasswiseNMS.BEST_FIRST": True,
    **{f"{KEY}.{kind}.ATSSMatcher.SEARCH": "window" for kind in ("MATCHER", "INITIAL_MATCHER")},
    **{
        f"{KEY}.{kind}.{name}.SIZE_DIVISIBILITY": 32
        for kind in ("MATCHER", "INITIAL_MATCHER")
        for name in ("ATSSMatcher", "MaxIoUMatcher", "PointMatcher")
    },
}
# Values of keys that are still there, and what does the same.
RETIRED_VALUES: dict[str, dict[Any, Any]] = {f"{KEY}.CANDIDATE_UNIT": {"pairs_of_all": "pairs"}}

logger = logging.getLogger(__name__)


class TrainingOptions(NamedTuple):
    """How a training runs beyond Detectron2's keys: ``TRAINING.*``, or ``train.options`` (lazy).

    Attributes:
        accumulate: batches of an iteration, whose gradients are averaged.
        clip_total_norm: largest Euclidean norm of the gradient of all parameters; 0 for no limit.
        ema: average the weights; the average is what is evaluated and kept as the best model.
        ema_decay: largest share of the average that stays at an update.
        keep_best: save the weights of the highest AP as ``model_best.pth``.
        patience: evaluations without a higher AP that end the training; 0 for none.
        pictures: draw the first batch, and predictions beside ground truth at each evaluation.
        skip_bad_batches: steps whose loss or gradient is not finite that are left out; the next
            one ends the training, as the first one does with 0.
        trackers: experiment trackers beside TensorBoard, "wandb" or "mlflow".
    """

    accumulate: int = 1
    clip_total_norm: float = 0.0
    ema: bool = False
    ema_decay: float = 0.9998
    keep_best: bool = False
    patience: int = 0
    pictures: bool = False
    skip_bad_batches: int = 0
    trackers: tuple[str, ...] = ()


def add_vfnet_config(cfg: CfgNode) -> CfgNode:
    """Add this project's keys, with their defaults, to a Detectron2 config and return it.

    Every default is read off the signature of the class it belongs to: of all registered subclasses
    of ``OneStageDetector`` and of all registered parts. Nothing global changes.

    Args:
        cfg: usually ``detectron2.config.get_cfg()``; changed in place.

    Raises:
        ValueError: two detectors give one key different defaults.
    """
    if "ONE_STAGE" not in cfg.MODEL:
        for key in RETIRED_KEYS:
            # Merging one of them logs a warning and leaves it out.
            cfg.register_deprecated_key(key)
    node = _detectors_node()
    node.NUM_CLASSES = 80
    node.IN_FEATURES = ["p3", "p4", "p5", "p6", "p7"]
    cfg.MODEL.ONE_STAGE = node

    cfg.MODEL.DILATED_ENCODER = defaults_node(DilatedEncoder)
    pyramid = defaults_node(build_fpn)
    cfg.MODEL.FPN.TOP_INPUT, cfg.MODEL.FPN.TOP_RELU = pyramid.TOP_INPUT, pyramid.TOP_RELU

    cfg.SOLVER.OPTIMIZER = "SGD"
    cfg.INPUT.AUGMENTATIONS = augmentations_node()
    # [name of a part of the model, factor of its learning rate], such as ["backbone", 0.1]
    cfg.SOLVER.LR_FACTORS = []
    cfg.SOLVER.BETAS = (0.9, 0.999)  # of AdamW, torch's defaults
    cfg.SOLVER.AMP.PRECISION = "float16"
    cfg.TRAINING = defaults_node(TrainingOptions)
    return cfg


def _detectors_node() -> CfgNode:
    """Return a node with the settings and parts of all registered detectors."""
    registered = [x for _, x in META_ARCH_REGISTRY if isinstance(x, type)]
    defaults: dict[str, tuple[type, Any]] = {}
    for detector in [OneStageDetector, *registered]:
        if not issubclass(detector, OneStageDetector):
            continue
        parts = [(detector, name, kind) for name, kind in detector.PARTS.items()]
        for owner, name, default in [*settings_of(detector), *parts]:
            first, known = defaults.setdefault(name, (owner, default))
            if (type(known), known) != (type(default), default):
                raise ValueError(
                    f"{first.__name__} and {owner.__name__} both have an argument {name!r}, which "
                    f"is the config key {KEY}.{name.upper()}, but with different defaults: "
                    f"{known!r} and {default!r}; rename one, or give both the same default"
                )
    node = CfgNode()
    for name, (_, default) in defaults.items():
        if isinstance(default, PartKind):
            node[name.upper()] = kind_node(default.registry, default.default)
        else:
            node[name.upper()] = plain_default(default)
    return node


def without_retired_keys(node: CfgNode) -> CfgNode:
    """Return a config that an earlier version wrote, without the keys that are gone.

    Log what is left out: as a warning where its value was not the default.

    Args:
        node: a whole config or a part of one, from its root; stays as it is.
    """
    node = node.clone()
    for key, default in RETIRED_KEYS.items():
        parent, name = _find(node, key)
        if parent is None:
            continue
        value = parent.pop(name)
        level = logging.DEBUG if value == default else logging.WARNING
        logger.log(level, "The config's key %s, which is %r, is gone; it is ignored.", key, value)
    for key, values in RETIRED_VALUES.items():
        parent, name = _find(node, key)
        if parent is not None and parent[name] in values:
            old, parent[name] = parent[name], values[parent[name]]
            logger.info("The config's %s %r is now called %r.", key, old, parent[name])
    return node


def _find(node: CfgNode, key: str) -> tuple[CfgNode | None, str]:
    """Return the node that holds a key, or None, and the key's last name."""
    *path, name = key.split(".")
    for step in path:
        if not isinstance(node.get(step), CfgNode):
            return None, name
        node = node[step]
    return (node if name in node else None), name


def merge_yaml_file(cfg: CfgNode, path: str) -> None:
    """Merge a YAML config file and its base files into a config, without running what they hold.

    Detectron2's ``merge_from_file`` lets YAML tags such as ``!!python/object/apply`` call any
    function, unless it is told not to.

    Args:
        cfg: changed in place.
        path: of the file.

    Raises:
        UserError: the file, or one of its bases, is no YAML, or has tags that would run code.
        KeyError: a key is unknown.
    """
    try:
        cfg.merge_from_file(path, allow_unsafe=False)
    except yaml.constructor.ConstructorError as error:
        raise UserError(
            f"config {path} has a YAML tag that would run code ({error.problem}, line "
            f"{(error.problem_mark.line + 1) if error.problem_mark else '?'}): configs are read as "
            "data. Write plain values, or use a LazyConfig .py file, which is code, if you trust it"
        ) from error
    except yaml.YAMLError as error:
        raise UserError(f"config {path} is not YAML: {' '.join(str(error).split())}") from error
