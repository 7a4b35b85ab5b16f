"""Tests of vfnet_d2.modeling.dense.structures."""

import torch
from torch import Tensor

from vfnet_d2.modeling.dense.structures import (
    Assignment,
    BoxStage,
    DenseBoxes,
    HeadOutputs,
    Matches,
    assign_each_anchor,
    flatten,
    last_pairs,
    per_anchor,
)


def test_fields_of_the_seam_between_head_and_detector() -> None:
    assert HeadOutputs._fields == ("logits", "boxes", "quality")
    assert HeadOutputs([], []).quality is None


def test_fields_of_the_seam_between_matcher_and_detector() -> None:
    assert Assignment._fields == ("labels", "image", "anchor", "gt")


def test_fields_of_the_hooks_argument() -> None:
    assert Matches._fields == (
        *("image", "anchor", "anchor_boxes"),
        *("gt_boxes", "gt_classes", "boxes", "ious"),
    )


def test_maps_become_rows_cell_by_cell_and_anchor_by_anchor() -> None:
    level = torch.arange(1 * 2 * 3 * 2 * 2.0).view(1, 2 * 3, 2, 2)  # A = 2 anchors, K = 3
    rows = per_anchor([level], 3)[0]
    assert rows.shape == (1, 8, 3)
    # the second anchor of the cell in row 1, column 0
    assert rows[0, 2 * 2 + 1].tolist() == [level[0, 3 + k, 1, 0].item() for k in range(3)]


def test_levels_are_joined_in_order_in_single_precision() -> None:
    levels = [torch.zeros(2, 4, 3, 3, dtype=torch.bfloat16), torch.ones(2, 4, 1, 2)]
    rows = flatten(levels, 4)
    assert rows.shape == (2, 11, 4) and rows.dtype == torch.float32
    assert rows[:, :9].eq(0).all() and rows[:, 9:].eq(1).all()


def test_a_stage_gives_the_deltas_of_chosen_anchors_of_any_level() -> None:
    # A = 2 anchors a cell: levels of 2 x 2 and 1 x 2 cells have 8 and 4 anchors
    levels = [torch.randn(2, 8, 2, 2), torch.randn(2, 8, 1, 2)]
    stage = DenseBoxes(levels)
    found = stage.at(torch.tensor([1, 0, 1]), torch.tensor([3, 10, 3]))
    expected = [levels[0][1, 4:8, 0, 1], levels[1][0, 0:4, 0, 1], levels[0][1, 4:8, 0, 1]]
    assert torch.equal(found, torch.stack(expected))


def test_any_stage_has_all_its_deltas_in_one_tensor() -> None:
    class Counted(BoxStage):
        def maps(self) -> list[Tensor]:
            return [torch.arange(8.0).view(1, 4, 1, 2), torch.full((1, 4, 1, 1), 9.0)]

        def at(self, image: Tensor, anchor: Tensor) -> Tensor:
            raise AssertionError

    assert Counted().flat().tolist() == [[[0, 2, 4, 6], [1, 3, 5, 7], [9, 9, 9, 9]]]


def test_positives_follow_images_and_anchors() -> None:
    labels = torch.tensor([[0, 1, -1], [1, 0, 1]], dtype=torch.int8)
    found = assign_each_anchor(torch.tensor([[7, 2, 7], [4, 7, 0]]), labels)
    assert found.labels is labels
    assert [x.tolist() for x in found[1:]] == [[0, 1, 1], [1, 0, 2], [2, 4, 0]]


def test_the_last_pair_of_each_positive_anchor_says_what_it_shows() -> None:
    labels = torch.tensor([[1, -1, 0], [0, 0, 1]], dtype=torch.int8)
    image = torch.tensor([0, 0, 0, 0, 1, 1])
    anchor = torch.tensor([0, 1, 0, 1, 2, 2])
    gt = torch.tensor([4, 0, 3, 0, 1, 1])
    found = last_pairs(Assignment(labels, image, anchor, gt))
    # Anchor 1 of image 0 is ignored although its pairs count for the boxes.
    assert found.tolist() == [False, False, True, False, False, True]


def test_matches_at_chosen_places() -> None:
    matches = Matches(*(torch.arange(3) + 10 * i for i in range(len(Matches._fields))))
    chosen = matches.at(torch.tensor([True, False, True]))
    assert chosen.image.tolist() == [0, 2] and chosen.ious.tolist() == [60, 62]
