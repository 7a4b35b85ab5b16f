"""Names that options can take, without what they stand for.

Command lines list them in their help, for which they must not import PyTorch. Each tuple names the
table that it has the keys of.
"""

# Mixed precision on command lines, and the name of each in config keys.
AMP_PRECISIONS = {"bf16": "bfloat16", "fp16": "float16"}
# vfnet_d2.layers.soft_nms.DECAYS
SOFT_NMS_METHODS = ("linear", "gaussian")
# vfnet_d2.inference.writers.WRITERS
PREDICTION_FORMATS = ("coco", "csv", "yolo")
# vfnet_d2.training.hooks.trackers.TRACKERS
TRACKER_NAMES = ("wandb", "mlflow")
