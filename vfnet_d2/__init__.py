"""VarifocalNet and its family of dense detectors for Detectron2.

Importing the package imports no library and registers nothing. Importing ``vfnet_d2.config``,
``vfnet_d2.model_zoo``, or any module of ``vfnet_d2.modeling`` as LazyConfigs do, registers the
detectors and all their parts with Detectron2.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vfnet_d2.config import add_vfnet_config
    from vfnet_d2.inference.predictor import Predictor

__version__ = "0.1.0"
__all__ = ["Predictor", "__version__", "add_vfnet_config"]

_HOMES = {"Predictor": "vfnet_d2.inference.predictor", "add_vfnet_config": "vfnet_d2.config"}


def __getattr__(name: str) -> Any:
    """Import what needs PyTorch and Detectron2 when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names too that are not imported yet."""
    return sorted({*globals(), *__all__})
