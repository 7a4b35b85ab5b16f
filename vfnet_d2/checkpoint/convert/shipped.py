"""Which of the shipped configs each architecture has; a test builds them and compares."""

from collections.abc import Mapping

# By the name of an architecture; the first of its configs is the one to suggest.
CONFIGS: Mapping[str, tuple[str, ...]] = {
    "vfnet_R_50": ("vfnet_R_50_1x", "vfnet_R_50_MS_2x"),
    "vfnet_R_50_DCN": ("vfnet_R_50_DCN_MS_2x",),
    "vfnet_R_101": ("vfnet_R_101_1x", "vfnet_R_101_2x", "vfnet_R_101_MS_2x"),
    "vfnet_R_101_DCN": ("vfnet_R_101_DCN_MS_2x",),
    "vfnet_X_101_32x4d": ("vfnet_X_101_32x4d_MS_2x",),
    "vfnet_X_101_32x4d_DCN": ("vfnet_X_101_32x4d_DCN_MS_2x",),
    "vfnet_X_101_64x4d": ("vfnet_X_101_64x4d_MS_2x",),
    "vfnet_X_101_64x4d_DCN": ("vfnet_X_101_64x4d_DCN_MS_2x",),
    "vfnet_R2_101": ("vfnet_R2_101_MS_2x",),
    "vfnet_R2_101_DCN": ("vfnet_R2_101_DCN_MS_2x",),
    "atss_R_50": ("baselines/atss_R_50_1x",),
    "fcos_atss_R_50": ("baselines/fcos_atss_R_50_1x",),
    "foveabox_R_50": ("baselines/foveabox_R_50_1x",),
    "reppoints_R_50": ("baselines/reppoints_R_50_1x",),
    "yolof_R_50_C5": ("yolof/yolof_R_50_C5_1x",),
    "yolof_R_50_DC5": ("yolof/yolof_R_50_DC5_1x",),
    "yolof_R_101_C5": ("yolof/yolof_R_101_C5_1x",),
    "retinanet_R_50": ("baselines/retinanet_R_50_1x",),
}


def configs_for(architecture: str) -> list[str]:
    """Return the shipped configs of an architecture: they differ in schedule and image sizes."""
    return list(CONFIGS.get(architecture, ()))
