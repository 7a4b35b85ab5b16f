"""VarifocalNet and its family of dense detectors for Detectron2.

Importing the package registers its models, backbones, heads, matchers and losses.
"""

import importlib.util
import sys
import warnings
from typing import Any

__version__ = "0.1.0"


def _started_as_doctor() -> bool:
    """Whether this import is ``python -m vfnet_d2.doctor``, which must run without Detectron2."""
    arguments = sys.orig_argv
    return "-m" in arguments and "vfnet_d2.doctor" in arguments


def __getattr__(name: str) -> Any:
    """Import what most programs do not need when it is first asked for."""
    if name == "Predictor":
        from vfnet_d2.engine.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# The doctor names cures for environments in which the imports below fail.
if not _started_as_doctor():
    if importlib.util.find_spec("detectron2") is None:
        raise ImportError(
            "vfnet_d2 needs Detectron2, which is not installed here. Install it with "
            "`python tools/install_detectron2.py` from a checkout of vfnet_d2, then check with "
            "`python -m vfnet_d2.doctor`."
        )
    with warnings.catch_warnings():
        # Detectron2 scripts functions at import, and torch says on each that it will stop to.
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=FutureWarning)
        # Imported for what they register.
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
        from vfnet_d2.config import add_vfnet_config

    __all__ = ["Predictor", "__version__", "add_vfnet_config"]
