"""Tests of vfnet_d2.modeling.dense.heads.refinement: chosen boxes equal those of the whole maps."""

import contextlib
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.float64 import in_float64
from tests.helpers.small_model import random_input, small_model
from vfnet_d2.layers.deform.backend import set_deform_conv
from vfnet_d2.modeling.dense.heads.refinement import Refinement
from vfnet_d2.modeling.dense.heads.vfnet_head import VFNetHead
from vfnet_d2.modeling.dense.structures import HeadOutputs

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
    ).double()
    set_deform_conv(made, "gather")
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


@contextlib.contextmanager
def refining(head: nn.Module, *, sparse: bool) -> Iterator[None]:
    """Let the head refine only what is looked at, or all cells."""
    if not sparse:
        head.refine_star.can_skip_cells = lambda x: False
    try:
        yield
    finally:
        vars(head.refine_star).pop("can_skip_cells", None)


def outputs_of(head: nn.Module, features: list[Tensor], *, sparse: bool) -> HeadOutputs:
    with torch.no_grad(), refining(head, sparse=sparse):
        return head(features)


def everything(images: int = 2) -> tuple[Tensor, Tensor]:
    """Image and index of every cell."""
    cells = sum(h * w for h, w in SIZES)
    return torch.arange(images).repeat_interleave(cells), torch.arange(cells).repeat(images)


def test_every_cell_of_every_level_and_image(head: VFNetHead) -> None:
    dense, sparse = (outputs_of(head, maps(), sparse=x).boxes[-1] for x in (False, True))
    assert isinstance(sparse, Refinement) and not isinstance(dense, Refinement)
    with torch.no_grad():
        found = sparse.at(*everything())
    torch.testing.assert_close(found, dense.flat().flatten(0, 1))


def test_some_cells_in_any_order_and_twice(head: VFNetHead) -> None:
    dense, sparse = (outputs_of(head, maps(), sparse=x).boxes[-1] for x in (False, True))
    image, anchor = torch.tensor([1, 0, 0, 0, 1, 0]), torch.tensor([85, 62, 7, 7, 0, 83])
    with torch.no_grad():
        found = sparse.at(image, anchor)
    torch.testing.assert_close(found, dense.flat()[image, anchor])


def test_sampling_points_far_outside_the_maps(head: VFNetHead) -> None:
    with torch.no_grad():
        head.box_pred.bias.fill_(5.0)  # 148 anchors wide
    dense, sparse = (outputs_of(head, maps(), sparse=x).boxes[-1] for x in (False, True))
    initial = outputs_of(head, maps(), sparse=False).boxes[0].flat()
    assert (8 * initial > max(map(max, SIZES))).double().mean() > 0.95  # in cells
    with torch.no_grad():
        found = sparse.at(*everything())
    torch.testing.assert_close(found, dense.flat().flatten(0, 1))


def test_levels_of_a_whole_image(head: VFNetHead) -> None:
    """800 x 1216 pixels, a thousand cells of all levels, in single precision."""
    head.float()
    sizes = [(100, 152), (50, 76), (25, 38), (13, 19)]
    generator = torch.Generator().manual_seed(3)
    features = [torch.randn(1, 6, *size, generator=generator) for size in sizes]
    cells = sum(h * w for h, w in sizes)
    anchor = torch.randperm(cells, generator=generator)[:1000]
    image = torch.zeros_like(anchor)
    dense, sparse = (outputs_of(head, features, sparse=x).boxes[-1] for x in (False, True))
    with torch.no_grad():
        found = sparse.at(image, anchor)
    torch.testing.assert_close(found, dense.flat()[image, anchor], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_chosen_gives_nothing(head: VFNetHead, dtype: torch.dtype) -> None:
    head.to(dtype)
    features = [x.to(dtype) for x in maps()]
    with torch.no_grad():
        found = outputs_of(head, features, sparse=True).boxes[-1].at(NONE, NONE)
    assert found.shape == (0, 4)
    head(features).boxes[-1].at(NONE, NONE).sum().backward()
    learning = {name for name, p in head.named_parameters() if p.grad is not None}
    assert {"refine_star.weight", "refine_pred.weight", "refine_scales.3.scale"} < learning


def gradients(head: VFNetHead, *, sparse: bool, chosen: tuple[Tensor, Tensor]) -> list[Tensor]:
    """Of a loss of chosen boxes, with respect to features and parameters."""
    features = [x.requires_grad_() for x in maps()]
    with refining(head, sparse=sparse):
        stage = head(features).boxes[-1]
    assert isinstance(stage, Refinement) == sparse
    boxes = stage.at(*chosen) if sparse else stage.flat()[chosen]
    weights = torch.arange(1.0, boxes.numel() + 1, dtype=torch.double).view_as(boxes)
    leaves = [*features, *(p for n, p in head.named_parameters() if not n.startswith("cls"))]
    return list(torch.autograd.grad((boxes * weights).sum(), leaves))


@pytest.mark.parametrize("count", [0, 1, 7])
def test_gradients_are_those_of_the_maps(head: VFNetHead, count: int) -> None:
    head.star_gradient = 0.5  # so that much of it comes by way of the sampling points
    image, anchor = everything()
    chosen = torch.randperm(len(image), generator=torch.Generator().manual_seed(2))[:count]
    dense, sparse = (
        gradients(head, sparse=x, chosen=(image[chosen], anchor[chosen])) for x in (False, True)
    )
    for one, other in zip(sparse, dense, strict=True):
        torch.testing.assert_close(one, other)
    assert (count > 0) == any(x.any() for x in sparse)


def test_looked_at_as_maps_they_are_the_dense_ones(head: VFNetHead) -> None:
    dense, sparse = (outputs_of(head, maps(), sparse=x).boxes[-1] for x in (False, True))
    with torch.no_grad():
        assert len(sparse.maps()) == len(SIZES)
        for one, other in zip(sparse.maps(), dense.maps(), strict=True):
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
        stage.at(torch.tensor([0, 0]), torch.tensor([0, 1]))
    assert computed[0].tolist() == [0, 1, 2, 7, 8, 9]


@pytest.mark.parametrize("implementation", ["torchvision", "grid_sample"])
def test_other_star_convolutions_compute_the_maps(head: VFNetHead, implementation: str) -> None:
    head.refine_star.implementation = implementation
    assert not isinstance(outputs_of(head, maps(), sparse=True).boxes[-1], Refinement)


def test_a_detector_finds_the_same() -> None:
    star = ("MODEL.ONE_STAGE.DEFORM_CONV", "gather")
    model = in_float64(small_model(*star, "MODEL.ONE_STAGE.SCORE_THRESH", 0.0)).eval()
    inputs = [random_input(96, 128, 0), random_input(128, 90, 0, seed=1)]
    results = []
    for sparse in (False, True):
        with torch.no_grad(), refining(model.head, sparse=sparse):
            results.append([x["instances"] for x in model(inputs)])
    for dense, found in zip(*results, strict=True):
        assert len(dense) == 100
        torch.testing.assert_close(found.pred_boxes.tensor, dense.pred_boxes.tensor)
        assert torch.equal(found.scores, dense.scores)


def test_a_detector_learns_the_same() -> None:
    """Losses and gradients of every parameter, also of a batch without an object."""
    star = ("MODEL.ONE_STAGE.DEFORM_CONV", "gather")
    model = small_model(*star).double()
    for boxes in (6, 0):
        inputs = [random_input(96, 128, boxes, seed=seed) for seed in (0, 1)]
        for item in inputs:
            item["image"] = item["image"].double()
            item["instances"].gt_boxes.tensor = item["instances"].gt_boxes.tensor.double()
        results = []
        for sparse in (False, True):
            model.zero_grad(set_to_none=True)
            with refining(model.head, sparse=sparse):
                losses = model(inputs)
            torch.stack(list(losses.values())).sum().backward()
            results.append((losses, {name: p.grad for name, p in model.named_parameters()}))
        (dense, expected), (sparse_losses, found) = results
        torch.testing.assert_close(sparse_losses, dense)
        assert None not in found.values()
        for name, grad in found.items():
            torch.testing.assert_close(grad, expected[name], msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_it_is_as_exact_as_the_maps(head: VFNetHead, dtype: torch.dtype) -> None:
    """Both against the same computation in double precision, with half-precision features."""
    exact = outputs_of(head, maps(1), sparse=False).boxes[-1].flat()[0]
    head.float()
    features = [x.float() for x in maps(1)]
    errors = []
    for sparse in (False, True):
        with torch.autocast("cpu", dtype=dtype):
            stage = outputs_of(head, features, sparse=sparse).boxes[-1]
        with torch.no_grad():
            found = stage.at(*everything(1)) if sparse else stage.flat()[0]
        assert found.dtype == torch.float32
        errors.append(((found - exact).abs() / exact).mean().item())
    dense, sparse_error = errors
    assert 0 < sparse_error < 1.2 * dense
