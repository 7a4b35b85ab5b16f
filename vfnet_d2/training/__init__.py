"""Training: one trainer over components, built from YAML or LazyConfig files."""

from vfnet_d2.utils.requirements import require_detectron2

require_detectron2()
