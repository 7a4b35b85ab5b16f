"""Detectors, their heads, matchers, backbones and post-processing, all registered here.

Importing any module of this folder registers every part first, in this one order.
"""

import vfnet_d2.losses.focal
import vfnet_d2.losses.quality_focal
import vfnet_d2.losses.varifocal
import vfnet_d2.modeling.backbone.fpn
import vfnet_d2.modeling.heads.reppoints_head
import vfnet_d2.modeling.heads.tower_head
import vfnet_d2.modeling.heads.vfnet_head
import vfnet_d2.modeling.matchers.atss
import vfnet_d2.modeling.matchers.fovea
import vfnet_d2.modeling.matchers.max_iou
import vfnet_d2.modeling.matchers.point
import vfnet_d2.modeling.meta_arch.atss
import vfnet_d2.modeling.meta_arch.foveabox
import vfnet_d2.modeling.meta_arch.reppoints
import vfnet_d2.modeling.meta_arch.retinanet
import vfnet_d2.modeling.meta_arch.vfnet  # noqa: F401
