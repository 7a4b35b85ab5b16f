"""The table of source edits: what it replaces, and that it notices what it does not know."""

import importlib
import sys
import types
from pathlib import Path

import pytest

from detectron2_edits import PORT_EDITS, Edit, EditError, apply_edits


def write(tree: Path, path: str, text: str) -> Path:
    """Put a file into a fake source tree."""
    target = tree / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return target


def test_every_occurrence_is_replaced(tmp_path: Path) -> None:
    target = write(tmp_path, "a.py", "x = np.int)\ny = np.int)\nz = np.int64)\n")
    replaced = apply_edits(tmp_path, (Edit("a.py", "np.int)", "int)", 2),), strict=True)
    assert replaced == 2
    assert target.read_text() == "x = int)\ny = int)\nz = np.int64)\n"


@pytest.mark.parametrize("text", ["nothing\n", "np.int) np.int)\n"], ids=["absent", "too often"])
def test_strict_edit_names_file_text_and_counts(tmp_path: Path, text: str) -> None:
    write(tmp_path, "a.py", text)
    found = text.count("np.int)")
    with pytest.raises(EditError, match=rf"a\.py: expected 'np\.int\)' 1 time.*found {found}$"):
        apply_edits(tmp_path, (Edit("a.py", "np.int)", "int)"),), strict=True)


def test_strict_edit_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(EditError, match=r"b/c\.py: .*found 0"):
        apply_edits(tmp_path, (Edit("b/c.py", "x", "y"),), strict=True)


def test_nothing_is_written_when_one_edit_fails(tmp_path: Path) -> None:
    target = write(tmp_path, "a.py", "old\n")
    edits = (Edit("a.py", "old", "new"), Edit("a.py", "absent", "present"))
    with pytest.raises(EditError):
        apply_edits(tmp_path, edits, strict=True)
    assert target.read_text() == "old\n"


def test_other_trees_keep_what_they_do_not_need(tmp_path: Path) -> None:
    target = write(tmp_path, "a.py", "old\n")
    edits = (Edit("a.py", "old", "new"), Edit("a.py", "absent", ""), Edit("no.py", "x", "y"))
    assert apply_edits(tmp_path, edits, strict=False) == 1
    assert target.read_text() == "new\n"
    assert not (tmp_path / "no.py").exists()


def test_ops_fail_when_called_and_not_on_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "detectron2", types.ModuleType("detectron2"))
    monkeypatch.delitem(sys.modules, "detectron2._C", raising=False)  # where ops are built
    new = next(edit.new for edit in PORT_EDITS if edit.path.endswith("deform_conv.py"))
    module: dict[str, object] = {}
    exec(new, module)
    with pytest.raises(ImportError, match=r"_C\.deform_conv_forward.*without compiled ops"):
        _ = module["_C"].deform_conv_forward


def test_slow_evaluation_replaces_the_compiled_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "detectron2", types.ModuleType("detectron2"))
    monkeypatch.setitem(sys.modules, "detectron2.evaluation.fast_eval_api", None)
    new = next(edit.new for edit in PORT_EDITS if edit.path.endswith("coco_evaluation.py"))
    module: dict[str, object] = {"COCOeval": "slow"}
    exec(new, module)
    assert module["COCOeval_opt"] == "slow"


def test_export_is_imported_without_caffe2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The package of v0.6 in small: api.py imports caffe2.
    init = "# -*- coding: utf-8 -*-\n\nfrom .api import *\nfrom .flatten import TracingAdapter\n"
    write(tmp_path, "detectron2/export/__init__.py", init)
    write(tmp_path, "detectron2/export/api.py", "from caffe2.proto import caffe2_pb2\n")
    write(tmp_path, "detectron2/export/flatten.py", "class TracingAdapter:\n    pass\n")
    edits = tuple(edit for edit in PORT_EDITS if "export" in edit.path)
    assert apply_edits(tmp_path, edits, strict=True) == 1
    (tmp_path / "detectron2" / "export").rename(tmp_path / "small_export")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("small_export")
    assert module.TracingAdapter.__name__ == "TracingAdapter"
    with pytest.raises(ImportError, match=r"Caffe2Tracer: .* needs caffe2"):
        _ = module.Caffe2Tracer
    assert not hasattr(module, "__wrapped__")
