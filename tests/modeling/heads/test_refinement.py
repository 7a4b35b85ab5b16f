"""Tests of vfnet_d2.modeling.heads.refinement: chosen boxes equal those of the whole maps."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.small_model import random_input, small_model
from vfnet_d2.modeling.heads.refinement import Refinement
from vfnet_d2.modeling.heads.vfnet_head import VFNetHead
from vfnet_d2.modeling.structures import HeadOutputs

SIZES = [(9, 7), (5, 4), (2, 1), (1, 1)]
NONE = torch.tensor([], dtype=torch.long)


@pytest.fixture
def head() -> VFNetHead:
    """Over four levels, with gathered star convolutions and a scale of its own a level."""
    torch.manual_seed(0)
    made = VFNetHead(
        in_channels=6,
        num_classes=3,
        num_levels=len(SIZES),
        channels=64,
        init_std=0.1,
        star_conv="gather",
    ).double()
    with torch.no_grad():
        for level, scale in enumerate(made.refine_scales):
            scale.scale.fill_(0.5 + level / 4)
        made.refine_pred.bias.uniform_(-0.5, 0.5)
    return made


def maps(images: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        4 * torch.randn(images, 6, *size, generator=generator, dtype=torch.double) for size in SIZES
    ]


def outputs_of(head: nn.Module, features: list[Tensor], *, sparse: bool) -> HeadOutputs:
    head.sparse_refinement = sparse
    with torch.no_grad():
        return head(features)


def rows(stage: Any, image: int, level: int) -> Tensor:
    return stage[level][image].flatten(1).T


def test_every_cell_of_every_level_and_image(head: VFNetHead) -> None:
    everything = [[torch.arange(h * w) for h, w in SIZES]] * 2
    dense, sparse = (outputs_of(head, maps(), sparse=x).boxes[-1] for x in (False, True))
    assert isinstance(sparse, Refinement) and not isinstance(dense, Refinement)
    with torch.no_grad():
        found = sparse.at(everything)
    for image in range(2):
        for level in range(len(SIZES)):
            torch.testing.assert_close(found[image][level], rows(dense, image, level))


def test_some_cells_in_any_order_some_twice_some_levels_none(head: VFNetHead) -> None:
    chosen = [
        [
            torch.tensor([62, 0, 7, 7]),
            torch.tensor([], dtype=torch.long),
            *(torch.tensor([0]),) * 2,
        ],
        [torch.tensor([3]), torch.tensor([19, 4]), *(torch.tensor([], dtype=torch.long),) * 2],
    ]
    dense, sparse = (outputs_of(head, maps(), sparse=x).boxes[-1] for x in (False, True))
    with torch.no_grad():
        found = sparse.at(chosen)
    for image, levels in enumerate(chosen):
        for level, cells in enumerate(levels):
            torch.testing.assert_close(found[image][level], rows(dense, image, level)[cells])


def test_nothing_chosen_gives_nothing(head: VFNetHead) -> None:
    none = [[NONE] * len(SIZES)] * 2
    with torch.no_grad():
        found = outputs_of(head, maps(), sparse=True).boxes[-1].at(none)
    assert [[level.shape for level in levels] for levels in found] == [[(0, 4)] * len(SIZES)] * 2


def test_looked_at_as_maps_they_are_the_dense_ones(head: VFNetHead) -> None:
    dense, sparse = (outputs_of(head, maps(), sparse=x).boxes[-1] for x in (False, True))
    assert len(sparse) == len(SIZES)
    with torch.no_grad():
        for one, other in zip(sparse, dense, strict=True):
            assert torch.equal(one, other)


def test_only_what_the_chosen_boxes_read_is_computed(
    head: VFNetHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = outputs_of(head, maps(1), sparse=True).boxes[-1]
    computed = []
    convolve = head.refine_star.forward_cells
    monkeypatch.setattr(
        head.refine_star,
        "forward_cells",
        lambda features, stars, cells: computed.append(cells) or convolve(features, stars, cells),
    )
    with torch.no_grad():
        # of a map of 9 x 7: a corner, and the cell beside it
        stage.at([[torch.tensor([0, 1]), NONE, NONE, NONE]])
    assert computed[0].tolist() == [0, 1, 2, 7, 8, 9]


def test_with_a_gradient_the_maps_are_computed(head: VFNetHead) -> None:
    boxes = head(maps()).boxes[-1]
    assert not isinstance(boxes, Refinement)
    assert all(x.requires_grad for x in boxes)


@pytest.mark.parametrize("implementation", ["torchvision", "grid_sample"])
def test_other_star_convolutions_compute_the_maps(head: VFNetHead, implementation: str) -> None:
    head.refine_star.implementation = implementation
    assert not isinstance(outputs_of(head, maps(), sparse=True).boxes[-1], Refinement)


def test_a_detector_finds_the_same() -> None:
    star = ("MODEL.ONE_STAGE.HEAD.VFNetHead.STAR_CONV", "gather")
    model = small_model(*star, "MODEL.ONE_STAGE.SCORE_THRESH", 0.0).eval()
    inputs = [random_input(96, 128, 0), random_input(128, 90, 0, seed=1)]
    results = []
    for sparse in (False, True):
        model.head.sparse_refinement = sparse
        with torch.no_grad():
            results.append([x["instances"] for x in model(inputs)])
    for dense, found in zip(*results, strict=True):
        assert len(dense) == 100
        # pixels; the products are summed in another order
        torch.testing.assert_close(
            found.pred_boxes.tensor, dense.pred_boxes.tensor, rtol=0, atol=1e-4
        )
        assert torch.equal(found.scores, dense.scores)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_it_is_as_exact_as_the_maps(head: VFNetHead, dtype: torch.dtype) -> None:
    """Both against the same computation in double precision, with half-precision features."""
    everything = [[torch.arange(h * w) for h, w in SIZES]]
    exact = outputs_of(head, maps(1), sparse=False).boxes[-1]
    head.float()
    features = [x.float() for x in maps(1)]
    errors = []
    for sparse in (False, True):
        with torch.autocast("cpu", dtype=dtype):
            stage = outputs_of(head, features, sparse=sparse).boxes[-1]
            with torch.no_grad():
                parts = (
                    stage.at(everything)[0]
                    if sparse
                    else [rows(stage, 0, level) for level in range(len(SIZES))]
                )
        assert all(part.dtype == torch.float32 for part in parts)
        wanted = torch.cat([rows(exact, 0, level) for level in range(len(SIZES))])
        errors.append(((torch.cat(parts) - wanted).abs() / wanted).mean().item())
    dense, sparse_error = errors
    assert sparse_error < 1.2 * dense
