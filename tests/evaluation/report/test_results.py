"""Tests of vfnet_d2.evaluation.report.results."""

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.log_lines import log_lines
from vfnet_d2.evaluation.report.data import ReportInputError, from_coco
from vfnet_d2.evaluation.report.results import readable_truth, results_of

FILE = Path("predictions.json")
BOX = [1.0, 2.0, 4.0, 5.0]


def truth(*names: str) -> dict[str, Any]:
    images = [
        {"id": 10 * number, "file_name": name, "width": 20, "height": 20}
        for number, name in enumerate(names, start=1)
    ]
    categories = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
    box = {"id": 1, "image_id": 10, "category_id": 7, "bbox": BOX, "area": 20, "iscrowd": 0}
    return {"images": images, "categories": categories, "annotations": [box]}


def prediction(name: str = "photos/a.jpg", label: str = "cat", **more: Any) -> dict[str, Any]:
    """As ``vfnet predict`` writes it."""
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": BOX, "score": 0.9, **more}
    return {
        "images": [{"id": 1, "file_name": name, "width": 20, "height": 20}],
        "categories": [{"id": 1, "name": label}],
        "annotations": [entry],
    }


@pytest.mark.parametrize(
    ("name", "files", "image_id"),
    [
        ("photos/a.jpg", ["a.jpg", "b.jpg"], 10),
        ("C:\\set\\val\\a.jpg", ["train/a.jpg", "val/a.jpg"], 20),
        ("/x/y/b.jpg", ["a.jpg", "y/b.jpg"], 20),
    ],
)
def test_predictions_are_found_by_name(name: str, files: list[str], image_id: int) -> None:
    expected = [{"image_id": image_id, "category_id": 7, "bbox": BOX, "score": 0.9}]
    assert results_of(prediction(name), truth(*files), FILE) == expected


@pytest.mark.parametrize(
    ("content", "files", "message"),
    [
        (prediction("c.jpg"), ["a.jpg"], "no image has the name of one of the ground truth's"),
        (prediction(label="bird"), ["a.jpg"], r"lacks \(bird\); its classes are cat, dog"),
        (prediction("a.jpg"), ["x/a.jpg", "y/a.jpg"], "a.jpg may be any of 2 images"),
        (truth("a.jpg"), ["a.jpg"], "annotations without a score"),
    ],
)
def test_what_cannot_be_assigned(content: Any, files: list[str], message: str) -> None:
    with pytest.raises(ReportInputError, match=message):
        results_of(content, truth(*files), FILE)


def test_numbers_may_be_text() -> None:
    texts = {"image_id": "10", "category_id": 7.0, "bbox": ["1", 2, "4", 5.0], "score": "0.9"}
    results = results_of([texts], truth("a.jpg"), FILE)
    assert results == [{"image_id": 10, "category_id": 7, "bbox": BOX, "score": 0.9}]
    data = from_coco(truth("a.jpg"), results)
    assert data.detections.scores.tolist() == [0.9]


def test_so_may_those_of_the_ground_truth() -> None:
    content = truth("a.jpg")
    content["annotations"][0].update(iscrowd="0", area="20", image_id="10")
    del content["annotations"][0]["iscrowd"]
    assert readable_truth(content, FILE)["annotations"][0] == truth("a.jpg")["annotations"][0]


@pytest.mark.parametrize("content", [{}, {"images": []}, "text", None, [1], [{"score": "high"}]])
def test_other_content_is_left_to_the_check(content: Any) -> None:
    assert results_of(content, truth("a.jpg"), FILE) == content


def test_classes_that_the_ground_truth_lacks_are_left_out_and_named() -> None:
    content = prediction()
    content["categories"].append({"id": 2, "name": "bird"})
    content["annotations"].append({**content["annotations"][0], "id": 2, "category_id": 2})
    with log_lines("vfnet_d2.evaluation.report.results") as lines:
        (kept,) = results_of(content, truth("a.jpg"), FILE)
    assert kept["category_id"] == 7
    assert "classes that are not in the ground truth: bird" in "".join(lines)
