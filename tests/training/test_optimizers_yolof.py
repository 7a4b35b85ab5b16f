"""Learning rates of parts of a model, and YOLOF's groups and schedule as the reference has them."""

import json
from typing import Any

import pytest
import torch
from detectron2.config import instantiate
from detectron2.modeling import build_model
from detectron2.solver import build_lr_scheduler
from torch import nn

from tests.helpers.reference import DATA
from vfnet_d2.checkpoint.convert.architecture import architecture_of, shapes_of
from vfnet_d2.model_zoo import get_config
from vfnet_d2.training.optimizers import build_optimizer, get_param_groups

CONFIG = "yolof/yolof_R_50_C5_1x"


def rules(groups: list[dict[str, Any]], model: nn.Module) -> dict[str, tuple[float, float]]:
    """The learning rate and weight decay of each parameter."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[p]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]
    }


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    """The groups of mmdet 3.3.0: [name, learning rate, weight decay, trained]."""
    return json.loads((DATA / "optim_groups_yolof.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("suffix", [".yaml", ".py"])
def test_every_parameter_s_group_is_the_published_one(
    suffix: str, published: dict[str, Any]
) -> None:
    cfg = get_config(CONFIG, suffix=suffix)
    if suffix == ".yaml":
        cfg.MODEL.DEVICE = "cpu"
        model = build_model(cfg)
        optimizer = build_optimizer(cfg, model)
    else:
        model = instantiate(cfg.model)
        cfg.optimizer.params.model = model
        optimizer = instantiate(cfg.optimizer)
    ours = {pair.theirs: pair.ours for pair in architecture_of(shapes_of(model.state_dict())).pairs}
    expected = {ours[name]: (lr, decay) for name, lr, decay, _ in published["params"]}
    found = rules(optimizer.param_groups, model)
    assert found.keys() == expected.keys() and len(found) == 110
    for name, rule in found.items():
        assert rule == pytest.approx(expected[name], rel=1e-12), name
    assert {group["momentum"] for group in optimizer.param_groups} == {0.9}


# Of the reference, at chosen iterations; its warm-up is over one iteration earlier.
SCHEDULE = {
    **{0: 8.00004e-05, 1500: 0.12, 1501: 0.12, 14663: 0.12, 14664: 0.012, 20162: 0.012},
    **{20163: 0.0012, 21995: 0.0012, 750: (0.00066667 + 0.99933333 * 750 / 1500) * 0.12},
}


def test_the_schedule_is_the_published_one() -> None:
    cfg = get_config(CONFIG)
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=cfg.SOLVER.BASE_LR)
    build_lr_scheduler(cfg, optimizer)
    scheduler = build_lr_scheduler(cfg, torch.optim.SGD([weight], lr=cfg.SOLVER.BASE_LR))
    rates = {i: 0.12 * scheduler._multiplier(i / cfg.SOLVER.MAX_ITER) for i in SCHEDULE}
    assert rates == pytest.approx(SCHEDULE, rel=1e-6)


class Nested(nn.Module):
    """Two parts, one of them with a part, and names that begin alike."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
        self.bodyguard = nn.Linear(1, 1)


def found(*factors: tuple[str, float], **options: float) -> dict[str, float]:
    model = Nested()
    groups = get_param_groups(model, base_lr=1.0, weight_decay=0.0, lr_factors=factors, **options)
    return {name: lr for name, (lr, _) in rules(groups, model).items()}


def test_a_factor_counts_below_its_name_and_the_longest_name_wins() -> None:
    rates = found(("body", 0.5), ("body.1", 0.25))
    assert rates == {
        **{"body.0.weight": 0.5, "body.0.bias": 0.5, "body.1.weight": 0.25, "body.1.bias": 0.25},
        **{"bodyguard.weight": 1.0, "bodyguard.bias": 1.0},
    }


def test_a_factor_multiplies_that_of_biases() -> None:
    rates = found(("body.0", 0.5), bias_lr_factor=3.0)
    assert rates["body.0.bias"] == 1.5 and rates["body.1.bias"] == 3.0


def test_a_name_may_be_a_parameter_s_own_and_a_factor_0() -> None:
    assert found(("bodyguard.bias", 0.0))["bodyguard.bias"] == 0.0


def test_a_part_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"SOLVER\.LR_FACTORS\) names 'bod', .* \['body', 'bodygu"):
        found(("bod", 0.5))


def test_a_negative_factor_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gives 'body' the factor -1"):
        found(("body", -1.0))
