"""Tests of vfnet_d2.training.optimizers."""

import json
from typing import Any

import pytest
import torch
from torch import nn

from tests.helpers.reference import DATA, vfnet_r50_config
from tests.helpers.small_model import small_config
from vfnet_d2.checkpoint.convert.mmdet_keys import from_mmdet
from vfnet_d2.training.optimizers import OFFSET_CONV, build_optimizer, get_param_groups

Rule = tuple[float, float]  # learning rate, weight decay
NAMES = ("weight", "bias")


def rules(groups: list[dict[str, Any]], model: nn.Module) -> dict[str, Rule]:
    """The learning rate and weight decay of each parameter that is in a group."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = [
        (names[parameter], (group["lr"], group["weight_decay"]))
        for group in groups
        for parameter in group["params"]
    ]
    assert len({name for name, _ in found}) == len(found), "a parameter is in two groups"
    return dict(found)


# -- against the published groups -------------------------------------------------------------


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    """The groups of mmdet 3.3.0 for the same network, under its names."""
    return json.loads((DATA / "optim_groups_vfnet_r50.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def ours(reference_model: nn.Module) -> dict[str, Rule]:
    return rules(build_optimizer(vfnet_r50_config(), reference_model).param_groups, reference_model)


def theirs(published: dict[str, Any]) -> dict[str, Rule]:
    return {
        from_mmdet(name): (group["lr"], group["weight_decay"])
        for group in published["groups"]
        for name in group["names"]
    }


def test_the_same_parameters_are_trained(
    ours: dict[str, Rule], published: dict[str, Any], reference_model: nn.Module
) -> None:
    assert set(ours) == set(theirs(published))
    left_out = {name for name, _ in reference_model.named_parameters()} - set(ours)
    # Frozen norms are no parameters of ours.
    frozen = {from_mmdet(name) for name in published["frozen"]}
    assert left_out == {name for name in frozen if ".norm." not in name}


def test_only_the_decay_of_norm_biases_differs(
    ours: dict[str, Rule], published: dict[str, Any]
) -> None:
    # The authors' repository lets norm biases decay, mmdet 3.3 does not.
    expected = theirs(published)
    differences = {name: (ours[name], expected[name]) for name in ours}
    differences = {name: pair for name, pair in differences.items() if pair[0] != pair[1]}
    assert set(differences) == {name for name in ours if name.endswith(".norm.bias")}
    # 3 in each of 13 blocks and one in each of 3 shortcuts of stages 2 to 4; 7 in the head
    assert len(differences) == 3 * 13 + 3 + 7
    assert set(differences.values()) == {((0.01, 1e-4), (0.01, 0.0))}


def test_eleven_biases_learn_twice_as_fast_and_do_not_decay(ours: dict[str, Rule]) -> None:
    layers = [f"backbone.fpn_lateral{level}" for level in (3, 4, 5)]
    layers += [f"backbone.fpn_output{level}" for level in (3, 4, 5)]
    layers += ["backbone.top_block.p6", "backbone.top_block.p7"]
    layers += ["head.box_pred", "head.refine_pred", "head.cls_pred"]
    special = {name for name, rule in ours.items() if rule != (0.01, 1e-4)}
    assert special == {f"{layer}.bias" for layer in layers}
    assert len(special) == 11
    assert {ours[name] for name in special} == {(0.02, 0.0)}


# -- the rule, by hand --------------------------------------------------------------------------


class Toy(nn.Module):
    """One parameter of each kind that the rule tells apart."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        self.linear = nn.Linear(1, 1)
        self.batch = nn.BatchNorm2d(1)
        self.group = nn.GroupNorm(1, 1)
        self.layer = nn.LayerNorm(1)
        self.deformable = nn.Sequential()
        self.deformable.add_module(OFFSET_CONV, nn.Conv2d(1, 1, 1))
        self.scale = nn.Parameter(torch.ones(()))
        self.frozen = nn.Parameter(torch.ones(()), requires_grad=False)
        self.shared = self.conv


def test_without_options_all_parameters_are_one_group() -> None:
    groups = get_param_groups(Toy(), base_lr=0.1, weight_decay=0.2)
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(0.1, 0.2)]
    # 2 each of 3 layers with a bias and 3 norms, and the scale
    assert len(groups[0]["params"]) == 2 * 6 + 1


def test_each_kind_of_parameter_follows_its_rule() -> None:
    model = Toy()
    options = {"bias_lr_factor": 3.0, "weight_decay_bias": 0.0, "weight_decay_norm": 0.5}
    found = rules(get_param_groups(model, base_lr=1.0, weight_decay=0.25, **options), model)
    plain, norm, bias = (1.0, 0.25), (1.0, 0.5), (3.0, 0.0)
    assert found == {
        "scale": plain,
        "conv.weight": plain,
        "linear.weight": plain,
        f"deformable.{OFFSET_CONV}.weight": plain,
        f"deformable.{OFFSET_CONV}.bias": plain,
        "conv.bias": bias,
        "linear.bias": bias,
        **{f"{kind}.{name}": norm for kind in ("batch", "group", "layer") for name in NAMES},
    }


# -- optimizers ---------------------------------------------------------------------------------


def one_weight() -> nn.Module:
    """A model of one weight, which is 1."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    return layer


def step(optimizer: torch.optim.Optimizer, model: nn.Module, gradient: float) -> float:
    """Take a step with a given gradient and return the weight."""
    model.weight.grad = torch.full_like(model.weight, gradient)
    optimizer.step()
    return model.weight.item()


def test_sgd_momentum_and_decay() -> None:
    model = one_weight()
    cfg = small_config(*("SOLVER.BASE_LR", 0.5, "SOLVER.MOMENTUM", 0.5, "SOLVER.WEIGHT_DECAY", 0.1))
    optimizer = build_optimizer(cfg, model)
    assert type(optimizer) is torch.optim.SGD
    # velocity 1 + 0.1 * 1 = 1.1, weight 1 - 0.5 * 1.1
    assert step(optimizer, model, 1.0) == pytest.approx(0.45)
    # velocity 0.5 * 1.1 + 0 + 0.1 * 0.45 = 0.595, weight 0.45 - 0.5 * 0.595
    assert step(optimizer, model, 0.0) == pytest.approx(0.1525)


def test_sgd_nesterov() -> None:
    model = one_weight()
    options = ("SOLVER.BASE_LR", 0.5, "SOLVER.MOMENTUM", 0.5, "SOLVER.WEIGHT_DECAY", 0.0)
    optimizer = build_optimizer(small_config(*options, "SOLVER.NESTEROV", True), model)
    # looks ahead: 1 - 0.5 * (1 + 0.5 * 1)
    assert step(optimizer, model, 1.0) == pytest.approx(0.25)


def test_adamw_decays_apart_from_the_gradient() -> None:
    model = one_weight()
    options = ("SOLVER.OPTIMIZER", "AdamW", "SOLVER.BASE_LR", 0.5, "SOLVER.WEIGHT_DECAY", 0.1)
    optimizer = build_optimizer(small_config(*options), model)
    assert type(optimizer) is torch.optim.AdamW
    # The first step of Adam is the learning rate, whatever the gradient: 1 * (1 - 0.5 * 0.1) - 0.5
    assert step(optimizer, model, 123.0) == pytest.approx(0.45)


def test_gradients_are_clipped_when_the_config_says_so() -> None:
    model = one_weight()
    options = ("SOLVER.BASE_LR", 0.5, "SOLVER.WEIGHT_DECAY", 0.0)
    clipping = ("SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE", 0.5)
    optimizer = build_optimizer(small_config(*options, *clipping), model)
    assert step(optimizer, model, 100.0) == pytest.approx(1 - 0.5 * 0.5)


def test_unknown_optimizer() -> None:
    with pytest.raises(ValueError, match=r"SOLVER\.OPTIMIZER is 'Lion'.*\['AdamW', 'SGD'\]"):
        build_optimizer(small_config("SOLVER.OPTIMIZER", "Lion"), one_weight())
