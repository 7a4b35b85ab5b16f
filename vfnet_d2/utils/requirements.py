"""What must be installed beside this package."""

import importlib.util


class MissingDetectron2Error(ImportError):
    """Detectron2 is not installed; the message says how to install it."""


def require_detectron2() -> None:
    """Do nothing where Detectron2 is installed; it is not imported.

    The package index has no Detectron2, so pip cannot bring it along.

    Raises:
        MissingDetectron2Error: it is not installed.
    """
    if importlib.util.find_spec("detectron2") is None:
        raise MissingDetectron2Error(
            "vfnet_d2 needs Detectron2, which is not installed here. Install it with "
            "`python tools/install_detectron2.py` from a checkout of vfnet_d2, then check with "
            "`python -m vfnet_d2.doctor`."
        )
