"""Tests of vfnet_d2.modeling.dense.structures."""

from vfnet_d2.modeling.dense.structures import Assignment, HeadOutputs, Matches


def test_fields_of_the_seam_between_head_and_detector() -> None:
    assert HeadOutputs._fields == ("logits", "boxes", "quality")
    assert HeadOutputs([], []).quality is None


def test_fields_of_the_seam_between_matcher_and_detector() -> None:
    assert Assignment._fields == ("gt_idxs", "labels")


def test_fields_of_the_hooks_argument() -> None:
    assert Matches._fields == (
        *("image", "anchor", "anchor_boxes"),
        *("gt_boxes", "gt_classes", "boxes", "ious"),
    )
