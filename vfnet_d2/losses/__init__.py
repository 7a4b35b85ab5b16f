"""Classification losses behind one protocol, and box losses."""

from vfnet_d2.utils.requirements import require_detectron2

require_detectron2()
