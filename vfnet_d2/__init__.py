"""VarifocalNet and its family of dense detectors for Detectron2.

Importing the package registers its models, backbones, heads, matchers and losses: at once if
``detectron2.modeling`` is imported already, otherwise along with it.
"""

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

from vfnet_d2.registration import register_with_detectron2

if TYPE_CHECKING:
    from vfnet_d2.config import add_vfnet_config
    from vfnet_d2.inference.predictor import Predictor

__version__ = "0.1.0"
__all__ = ["Predictor", "__version__", "add_vfnet_config"]

_HOMES = {"Predictor": "vfnet_d2.inference.predictor", "add_vfnet_config": "vfnet_d2.config"}


def __getattr__(name: str) -> Any:
    """Import what stands on all of Detectron2 when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def _started_as_doctor() -> bool:
    """Whether this import is ``python -m vfnet_d2.doctor``, which must run without Detectron2."""
    arguments = sys.orig_argv
    return "-m" in arguments and "vfnet_d2.doctor" in arguments


# The doctor names cures for environments in which the others cannot run.
if not _started_as_doctor():
    if importlib.util.find_spec("detectron2") is None:
        raise ImportError(
            "vfnet_d2 needs Detectron2, which is not installed here. Install it with "
            "`python tools/install_detectron2.py` from a checkout of vfnet_d2, then check with "
            "`python -m vfnet_d2.doctor`."
        )
    register_with_detectron2()
