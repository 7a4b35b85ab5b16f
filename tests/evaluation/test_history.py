"""Tests of vfnet_d2.evaluation.history."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from detectron2.utils.events import EventStorage, JSONWriter

from vfnet_d2.evaluation.history import last_result, read_history

BOX_APS = {"AP": 41.6, "AP50": 59.5, "AP75": 45.0, "APs": 24.4, "APm": 45.1, "APl": 54.2}


def write(path: Path, *entries: Any, tail: str = "") -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + tail)
    return path


def evaluation(changes: dict[str, float]) -> dict[str, float]:
    """An entry as an evaluation writes it, in the order of a dict that was shuffled on purpose."""
    aps = {**BOX_APS, **changes}
    return {f"bbox/{key}": aps[key] for key in sorted(aps, reverse=True)}


def test_reads_what_detectron2_writes(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    with EventStorage(4) as storage:
        storage.put_scalar("loss_cls", 0.5)
        writer = JSONWriter(str(path))
        writer.write()
        writer.close()
    assert read_history(path) == [{"iteration": 4, "loss_cls": 0.5}]


def test_half_a_line_at_the_end_is_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "metrics.json", {"iteration": 19}, tail='{"iteration": 39, "loss_c')
    assert read_history(path) == [{"iteration": 19}]


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "metrics.json", {"iteration": 19}, tail='{"iter\n{"iteration": 59}\n')
    with pytest.raises(ValueError) as error:
        read_history(path)
    assert str(error.value).startswith(f"{path}, line 2: not a JSON object")


def test_nan_is_a_number(tmp_path: Path) -> None:
    # COCO's evaluation writes NaN for sizes of which there is no object.
    (entry,) = read_history(write(tmp_path / "metrics.json", {"bbox/APl": float("nan")}))
    assert math.isnan(entry["bbox/APl"])


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        read_history(tmp_path / "none.json")


def test_the_last_evaluation_counts(tmp_path: Path) -> None:
    entries = [evaluation({"AP": 10.0}), evaluation({"AP": 20.0}), {"iteration": 99, "lr": 0.1}]
    assert last_result(write(tmp_path / "metrics.json", *entries))["AP"] == 20.0


def test_columns_stand_in_cocos_order_then_classes_by_name(tmp_path: Path) -> None:
    entry = evaluation({"AP-star": 30.0, "AP-circle": 70.0})
    result = last_result(write(tmp_path / "metrics.json", entry))
    assert list(result) == [*BOX_APS, "AP-circle", "AP-star"]
    assert result == {**BOX_APS, "AP-star": 30.0, "AP-circle": 70.0}


def test_a_run_without_evaluation(tmp_path: Path) -> None:
    path = write(tmp_path / "metrics.json", {"iteration": 19, "total_loss": 1.0})
    with pytest.raises(ValueError) as error:
        last_result(path)
    assert str(path) in str(error.value) and "TEST.EVAL_PERIOD" in str(error.value)
