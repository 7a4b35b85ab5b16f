"""Fine-tuning on a user's dataset: decides data, recipe and config, then trains."""

from vfnet_d2.utils.requirements import require_detectron2

require_detectron2()
