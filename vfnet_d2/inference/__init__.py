"""From images, videos and folders to detections."""

from vfnet_d2.utils.requirements import require_detectron2

require_detectron2()
