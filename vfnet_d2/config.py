"""Config keys of this project for Detectron2's YAML system."""

from typing import NamedTuple

from vfnet_d2.utils.requirements import require_detectron2

try:
    from detectron2.config import CfgNode
except ModuleNotFoundError:
    require_detectron2()
    raise

from vfnet_d2.losses.registry import BOX_LOSS_REGISTRY, CLS_LOSS_REGISTRY
from vfnet_d2.modeling.backbone.fpn import build_fpn
from vfnet_d2.modeling.dense.box_coders import BOX_CODER_REGISTRY
from vfnet_d2.modeling.dense.heads.registry import HEAD_REGISTRY
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY
from vfnet_d2.modeling.dense.one_stage import OneStageDetector
from vfnet_d2.modeling.suppression import SUPPRESSION_REGISTRY
from vfnet_d2.utils.registry import defaults_node, kind_node

# Arguments of the detector that Detectron2's own keys already carry.
_ELSEWHERE = ("MAX_DETECTIONS_PER_IMAGE", "PIXEL_MEAN", "PIXEL_STD", "INPUT_FORMAT")


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
        trackers: experiment trackers beside TensorBoard, "wandb" or "mlflow".
    """

    accumulate: int = 1
    clip_total_norm: float = 0.0
    ema: bool = False
    ema_decay: float = 0.9998
    keep_best: bool = False
    patience: int = 0
    pictures: bool = False
    trackers: tuple[str, ...] = ()


def add_vfnet_config(cfg: CfgNode) -> CfgNode:
    """Add this project's keys, with their defaults, to a Detectron2 config and return it.

    Every default is read off the signature of the class it belongs to. Nothing global changes.

    Args:
        cfg: usually ``detectron2.config.get_cfg()``; changed in place.
    """
    node = defaults_node(OneStageDetector.__init__)
    for key in _ELSEWHERE:
        del node[key]
    node.NUM_CLASSES = 80
    node.IN_FEATURES = ["p3", "p4", "p5", "p6", "p7"]
    node.HEAD = kind_node(HEAD_REGISTRY, "VFNetHead")
    node.BOX_CODER = kind_node(BOX_CODER_REGISTRY, "LinearDistances")
    node.MATCHER = kind_node(MATCHER_REGISTRY, "ATSSMatcher")
    # Of detectors whose initial boxes are matched otherwise than the refined ones.
    node.INITIAL_MATCHER = kind_node(MATCHER_REGISTRY, "PointMatcher")
    node.CLS_LOSS = kind_node(CLS_LOSS_REGISTRY, "VarifocalLoss")
    node.BOX_LOSS = kind_node(BOX_LOSS_REGISTRY, "GIoULoss")
    node.SUPPRESSION = kind_node(SUPPRESSION_REGISTRY, "ClasswiseNMS")
    cfg.MODEL.ONE_STAGE = node

    pyramid = defaults_node(build_fpn)
    cfg.MODEL.FPN.TOP_INPUT, cfg.MODEL.FPN.TOP_RELU = pyramid.TOP_INPUT, pyramid.TOP_RELU

    cfg.SOLVER.OPTIMIZER = "SGD"
    cfg.SOLVER.BETAS = (0.9, 0.999)  # of AdamW, torch's defaults
    cfg.SOLVER.AMP.PRECISION = "float16"
    cfg.TRAINING = defaults_node(TrainingOptions)
    return cfg
