"""The source edits that let Detectron2 v0.6 run on today's torch, numpy, Pillow and setuptools.

Each edit is a literal text, its replacement and how often it must occur. Nothing is rewritten by
pattern, so a source that differs from the one these were written for is noticed, not half patched.
"""

from pathlib import Path
from typing import NamedTuple


class EditError(Exception):
    """An edit did not find the text that it replaces; the message names file, text and counts."""


class Edit(NamedTuple):
    """Replace `old`, which occurs `times` times in the file `path` of the source tree, by `new`."""

    path: str
    old: str
    new: str
    times: int = 1


# Rotated boxes and Detectron2's own deformable convolution then fail when called, not on import.
_OPTIONAL_C = """
try:
    from detectron2 import _C
except ImportError:

    class _NotCompiled:
        def __getattr__(self, name):
            raise ImportError(f"detectron2._C.{name}: Detectron2 is here without compiled ops")

    _C = _NotCompiled()
"""

_FAST_EVAL = "from detectron2.evaluation.fast_eval_api import COCOeval_opt\n"
_SLOW_EVAL = f"try:\n    {_FAST_EVAL}except ImportError:\n    COCOeval_opt = COCOeval\n"

_CONFIG_LOOKUP = """pkg_resources.resource_filename(
        "detectron2.model_zoo", os.path.join("configs", config_path)
    )"""

# caffe2 is gone from torch: its exporters fail when asked for, tracing and analysis are there.
_EXPORT = """
try:
    from .api import *
except ImportError:

    def __getattr__(name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError(f"detectron2.export.{name}: not here, or it needs caffe2, which is gone")
"""

# What v0.6 needs, wherever its source comes from. A newer tree has most of this already.
PORT_EDITS = (
    # numpy 1.24 removed its aliases of Python's own types
    Edit("detectron2/data/build.py", "dtype=np.int)", "dtype=int)"),
    Edit("detectron2/data/build.py", "dtype=np.int\n", "dtype=int\n"),
    Edit("detectron2/data/datasets/pascal_voc.py", "dtype=np.str)", "dtype=str)"),
    Edit("detectron2/structures/masks.py", "np.bool)", "bool)", 3),
    Edit("detectron2/utils/visualizer.py", "np.bool)", "bool)", 3),
    Edit("detectron2/utils/video_visualizer.py", "np.bool)", "bool)"),
    Edit("detectron2/evaluation/pascal_voc_evaluation.py", "np.bool)", "bool)", 2),
    Edit("detectron2/evaluation/sem_seg_evaluation.py", "np.int)", "int)", 2),
    Edit("detectron2/evaluation/sem_seg_evaluation.py", "np.float)", "float)", 5),
    # Pillow 10 removed LINEAR, the old name of BILINEAR
    Edit("detectron2/data/transforms/transform.py", "Image.LINEAR", "Image.BILINEAR"),
    # the compiled ops are optional
    Edit("detectron2/layers/deform_conv.py", "\nfrom detectron2 import _C\n", _OPTIONAL_C),
    Edit("detectron2/layers/rotated_boxes.py", "\nfrom detectron2 import _C\n", _OPTIONAL_C),
    Edit("detectron2/layers/roi_align_rotated.py", "\nfrom detectron2 import _C\n", _OPTIONAL_C),
    Edit("detectron2/evaluation/coco_evaluation.py", f"\n{_FAST_EVAL}", f"\n{_SLOW_EVAL}"),
    Edit("detectron2/export/__init__.py", "\nfrom .api import *\n", _EXPORT),
    # setuptools 82 removed pkg_resources
    Edit("detectron2/model_zoo/model_zoo.py", "import pkg_resources\n", ""),
    Edit(
        "detectron2/model_zoo/model_zoo.py",
        _CONFIG_LOOKUP,
        'os.path.join(os.path.dirname(os.path.abspath(__file__)), "configs", config_path)',
    ),
    # pins that nothing current can meet, and two packages for caffe2, which torch no longer has
    Edit("setup.py", '        "black==21.4b2",\n', ""),
    Edit("setup.py", '"iopath>=0.1.7,<0.1.10"', '"iopath>=0.1.7"'),
    Edit("setup.py", '        "future",  # used by caffe2\n', ""),
    Edit("setup.py", '        "pydot",  # used to save caffe2 SVGs\n', ""),
)

# The index's sdist has the model zoo inside the package, while its setup.py looks beside it.
SDIST_EDITS = (
    Edit("setup.py", "get_model_zoo_configs()}", '["configs/**/*.yaml", "configs/**/*.py"]}'),
)

# Git trees after v0.6: the formatter is imported only to print a LazyConfig as Python.
TREE_EDITS = (Edit("setup.py", '        "black",\n', ""),)

NO_OPS_EDIT = Edit("setup.py", "ext_modules=get_extensions(),", "ext_modules=[],")


def apply_edits(tree: Path, edits: tuple[Edit, ...], *, strict: bool) -> int:
    """Apply `edits` to the source tree in place and return how many replacements were made.

    Args:
        tree: root of the source tree, the folder of `setup.py`.
        edits: what to replace.
        strict: every edit must occur `times` times; else what does not occur is passed over.

    Raises:
        EditError: under `strict`, when a text does not occur `times` times; nothing is written.
    """
    texts: dict[Path, str] = {}
    replaced = 0
    for edit in edits:
        path = tree / edit.path
        if path not in texts:
            texts[path] = path.read_text(encoding="utf-8") if path.is_file() else ""
        found = texts[path].count(edit.old)
        if strict and found != edit.times:
            raise EditError(
                f"{edit.path}: expected {edit.old.strip()!r} {edit.times} time(s), found {found}"
            )
        if found:
            texts[path] = texts[path].replace(edit.old, edit.new)
            replaced += found
    for path, text in texts.items():
        if path.is_file():
            path.write_text(text, encoding="utf-8")
    return replaced
