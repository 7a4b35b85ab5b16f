"""Tests of vfnet_d2.data.loading: class counts of datasets and models."""

from collections.abc import Iterator

import pytest
from detectron2.data import MetadataCatalog

from vfnet_d2.data.loading import check_num_classes


@pytest.fixture
def datasets() -> Iterator[list[str]]:
    """Metadata of a dataset of two classes, of seven, and of one that does not say."""
    names = ["of_two", "of_seven", "of_unknown"]
    MetadataCatalog.get("of_two").set(thing_classes=["cat", "dog"])
    MetadataCatalog.get("of_seven").set(thing_classes=list("abcdefg"))
    MetadataCatalog.get("of_unknown").set(evaluator_type="coco")
    yield names
    for name in names:
        MetadataCatalog.remove(name)


def test_equal_numbers_pass(datasets: list[str]) -> None:
    check_num_classes(2, ["of_two", "of_two"], key="K")


def test_a_dataset_without_class_names_passes(datasets: list[str]) -> None:
    check_num_classes(80, ["of_unknown"], key="K")


def test_the_message_names_both_sides_and_the_cure(datasets: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        check_num_classes(3, ["of_two"], key="MODEL.N")
    assert str(error.value) == (
        "MODEL.N is 3, but dataset 'of_two' has 2 classes (cat, dog); set MODEL.N to 2"
    )


def test_a_long_list_of_classes_is_cut(datasets: list[str]) -> None:
    with pytest.raises(ValueError, match=r"has 7 classes \(a, b, c, d, e, \.\.\.\)"):
        check_num_classes(3, ["of_seven"], key="K")


def test_every_dataset_is_checked(datasets: list[str]) -> None:
    with pytest.raises(ValueError, match="of_seven"):
        check_num_classes(2, ["of_two", "of_seven"], key="K")
