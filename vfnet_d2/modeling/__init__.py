"""Detectors, their heads, matchers, backbones and post-processing, all registered here.

Importing any module of this folder registers every part first, in this one order.
"""

# ruff: noqa: F401
import vfnet_d2.losses.focal
import vfnet_d2.losses.quality_focal
import vfnet_d2.losses.varifocal
import vfnet_d2.modeling.backbone.dilated_encoder
import vfnet_d2.modeling.backbone.fpn
import vfnet_d2.modeling.dense.detectors.atss
import vfnet_d2.modeling.dense.detectors.foveabox
import vfnet_d2.modeling.dense.detectors.reppoints
import vfnet_d2.modeling.dense.detectors.retinanet
import vfnet_d2.modeling.dense.detectors.vfnet
import vfnet_d2.modeling.dense.detectors.yolof
import vfnet_d2.modeling.dense.heads.reppoints_head
import vfnet_d2.modeling.dense.heads.tower_head
import vfnet_d2.modeling.dense.heads.vfnet_head
import vfnet_d2.modeling.dense.heads.yolof_head
import vfnet_d2.modeling.dense.matchers.atss
import vfnet_d2.modeling.dense.matchers.fovea
import vfnet_d2.modeling.dense.matchers.max_iou
import vfnet_d2.modeling.dense.matchers.point
import vfnet_d2.modeling.dense.matchers.uniform
