"""The comparison of the backbones with the reference sees mistakes: each network here has one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.helpers.parity import difference, head_outputs
from tests.helpers.reference import DATA, Reference, build_reference_model
from vfnet_d2.layers.deform import modulated_conv as deformable
from vfnet_d2.modeling.backbone.res2net import Res2NetBlock

pytestmark = pytest.mark.slow

Mutation = Callable[[nn.Module, pytest.MonkeyPatch], None]

sample = deformable.modulated_deform_conv
CONFIGS = {
    "vfnet_r50_mdconv": "vfnet_R_50_DCN_MS_2x",
    "vfnet_res2net101_mdconv": "vfnet_R2_101_DCN_MS_2x",
}


@pytest.fixture(scope="module", params=CONFIGS)
def network(request: pytest.FixtureRequest) -> tuple[str, Reference, nn.Module]:
    """A reference file, its results and our network in float32."""
    reference = Reference(DATA / f"{request.param}.npz")
    return request.param, reference, build_reference_model(reference, CONFIGS[request.param]).eval()


def wrong(reference: Reference, model: nn.Module) -> list[str]:
    """Maps that differ by more than both sides' rounding, see test_parity.py."""
    maps = head_outputs(model, reference)
    return [
        name
        for name, about in reference.meta["arrays"].items()
        if difference(maps[name], reference, name) > 1e-3 * about["std"]
    ]


def mask_without_sigmoid(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    def mutant(x: Tensor, moves: Tensor, mask: Tensor, *args: Any, **options: Any) -> Tensor:
        return sample(x, moves, mask.logit(), *args, **options)

    patch.setattr(deformable, "modulated_deform_conv", mutant)


def columns_before_rows(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    def mutant(x: Tensor, moves: Tensor, *args: Any, **options: Any) -> Tensor:
        return sample(x, moves.unflatten(1, (9, 2)).flip(2).flatten(1, 2), *args, **options)

    patch.setattr(deformable, "modulated_deform_conv", mutant)


def all_rows_before_all_columns(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    def mutant(x: Tensor, moves: Tensor, *args: Any, **options: Any) -> Tensor:
        moves = moves.unflatten(1, (2, 9)).transpose(1, 2).flatten(1, 2)
        return sample(x, moves, *args, **options)

    patch.setattr(deformable, "modulated_deform_conv", mutant)


def stride_in_the_first_convolution(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    for stage in ("res3", "res4", "res5"):
        block = getattr(model.backbone.bottom_up, stage)[0]
        patch.setattr(block.conv1, "stride", (2, 2))
        patch.setattr(block.conv2, "stride", (1, 1))
        patch.setattr(block.conv2.conv_offset, "stride", (1, 1))


def last_split_strided_not_pooled(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        Res2NetBlock, "_pool_split", lambda self, x: x[:, :, :: self.stride, :: self.stride]
    )


def padding_of_the_last_split_not_counted(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    def mutant(self: Res2NetBlock, x: Tensor) -> Tensor:
        pooled = F.avg_pool2d(x, 3, self.stride, 1, count_include_pad=False)
        return pooled if self.stride > 1 else x

    patch.setattr(Res2NetBlock, "_pool_split", mutant)


def last_split_pooled_at_stride_1_too(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    def mutant(self: Res2NetBlock, x: Tensor) -> Tensor:
        return x if self.hierarchical else F.avg_pool2d(x, 3, self.stride, 1)

    patch.setattr(Res2NetBlock, "_pool_split", mutant)


def shortcut_strided_not_pooled(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    def mutant(self: Res2NetBlock, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return x if self.shortcut is None else self.shortcut(x)

    patch.setattr(Res2NetBlock, "_shortcut", mutant)


def first_blocks_hierarchical(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    # of the other stages, the convolutions shrink their input and could not add to it
    patch.setattr(model.backbone.bottom_up.res2[0], "hierarchical", True)


def other_blocks_not_hierarchical(model: nn.Module, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(model.backbone.bottom_up.res4[1], "hierarchical", False)


MUTATIONS: dict[str, tuple[Mutation, ...]] = {
    "vfnet_r50_mdconv": (
        mask_without_sigmoid,
        columns_before_rows,
        all_rows_before_all_columns,
        stride_in_the_first_convolution,
    ),
    "vfnet_res2net101_mdconv": (
        last_split_strided_not_pooled,
        padding_of_the_last_split_not_counted,
        last_split_pooled_at_stride_1_too,
        shortcut_strided_not_pooled,
        first_blocks_hierarchical,
        other_blocks_not_hierarchical,
    ),
}


def test_without_a_mistake_nothing_differs(network: tuple[str, Reference, nn.Module]) -> None:
    _, reference, model = network
    assert wrong(reference, model) == []


def test_mistakes_show_in_the_maps(
    network: tuple[str, Reference, nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, reference, model = network
    for mutation in MUTATIONS[name]:
        with monkeypatch.context() as patch, torch.no_grad():
            mutation(model, patch)
            assert "neck.0" in wrong(reference, model), mutation.__name__
