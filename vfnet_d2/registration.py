"""Registration with Detectron2, when its models are imported and not before.

Detectron2's registries live in ``detectron2.modeling``, which takes longer to import than all of
this package: it brings torchvision and PyTorch's compiler. Programs that build no model, such as
``vfnet data check``, need not wait for it.
"""

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

REGISTRIES = "detectron2.modeling"
PARTS = "vfnet_d2.modeling"
# They script functions at import, and torch says on each that it will stop to.
SCRIPTING = ("fvcore.nn", REGISTRIES)


def register_with_detectron2() -> None:
    """Register all parts now if ``detectron2.modeling`` is imported, else along with its import."""
    if REGISTRIES in sys.modules:
        importlib.import_module(PARTS)
    else:
        sys.meta_path.insert(0, _Registration())


class _Registration(MetaPathFinder):
    """Finds modules as the finders after it do, and adds to the import of a few."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in SCRIPTING:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            # A loader is made for each search, so that this changes no other import.
            _add_to(spec.loader, spec.loader.exec_module)
        return spec


def _add_to(loader: Loader, execute: Callable[[ModuleType], None]) -> None:
    """Have a loader be quiet about scripting, and register our parts after Detectron2's."""

    def execute_and_register(module: ModuleType) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*torch.jit.script.*", FutureWarning)
            execute(module)
        if module.__name__ == REGISTRIES:
            importlib.import_module(PARTS)

    loader.exec_module = execute_and_register  # type: ignore[method-assign]
