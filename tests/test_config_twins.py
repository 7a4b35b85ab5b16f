"""Every YAML config and its LazyConfig twin describe the same run."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode, LazyConfig, instantiate
from detectron2.data import DatasetMapper
from detectron2.modeling import build_model
from detectron2.solver import build_lr_scheduler
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vfnet_d2.augmentation.mapper import training_mapper
from vfnet_d2.config import TrainingOptions
from vfnet_d2.model_zoo import available_configs, config_file, config_root, get_config
from vfnet_d2.training.from_lazy import training_options
from vfnet_d2.training.optimizers import build_optimizer

SCALARS = (bool, int, float, str, tuple)

RESULTS_TABLE = {
    *("vfnet_R_50_1x", "vfnet_R_50_MS_2x", "vfnet_R_50_DCN_MS_2x"),
    *("vfnet_R_101_1x", "vfnet_R_101_2x", "vfnet_R_101_MS_2x", "vfnet_R_101_DCN_MS_2x"),
    *("vfnet_X_101_32x4d_MS_2x", "vfnet_X_101_32x4d_DCN_MS_2x"),
    *("vfnet_X_101_64x4d_MS_2x", "vfnet_X_101_64x4d_DCN_MS_2x"),
    *("vfnet_R2_101_MS_2x", "vfnet_R2_101_DCN_MS_2x"),
}


DRAWING = {
    *(Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.uniform_),
    *(nn.init.kaiming_normal_, nn.init.kaiming_uniform_, nn.init.xavier_uniform_),
}
# No weight of a head has more elements than YOLOF's 3x3 convolutions and its classifier of six
# anchors and 80 classes.
LARGEST_OF_A_HEAD = 512 * 512 * 9


class FewRandomWeights(TorchFunctionMode):
    """Leave out the drawing of larger weights: it takes most of the time of building a model."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in DRAWING:
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.numel() > LARGEST_OF_A_HEAD:
                return tensor
        return func(*args, **kwargs)


# Models by the part of the config that they are made from: configs that differ in their schedule
# share theirs. Neighbours do, so a few are enough.
BUILT: dict[str, nn.Module] = {}
MAX_BUILT = 4


def built(key: str, build: Callable[[], nn.Module]) -> nn.Module:
    if key not in BUILT:
        if len(BUILT) == MAX_BUILT:
            del BUILT[next(iter(BUILT))]
        with FewRandomWeights():
            BUILT[key] = build()
    return BUILT[key]


def build_yaml(cfg: CfgNode) -> nn.Module:
    model = cfg.clone().MODEL
    model.WEIGHTS = ""
    return built(model.dump(), lambda: build_model(cfg))


def build_lazy(lazy: DictConfig) -> nn.Module:
    return built(OmegaConf.to_yaml(lazy.model), lambda: instantiate(lazy.model))


def scalar_attributes(model: nn.Module) -> dict[str, object]:
    """Every plain attribute of every part, also of parts that are no modules."""
    found: dict[str, object] = {}
    parts = dict(model.named_modules())
    for name in ("matcher", "suppression", "box_coder"):
        parts[name] = getattr(model, name)
    for path, part in parts.items():
        found[path] = type(part).__name__
        for key, value in vars(part).items():
            if isinstance(value, SCALARS) and not key.startswith("_"):
                found[f"{path}.{key}"] = value
    return found


def groups(optimizer, model: nn.Module) -> list[tuple]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    return sorted(
        (group["lr"], group["weight_decay"], tuple(sorted(names[p] for p in group["params"])))
        for group in optimizer.param_groups
    )


def plain(augmentations) -> list[tuple]:
    """Type and arguments of each augmentation; yacs makes tuples where OmegaConf makes lists."""
    return [
        (type(a).__name__, {k: list(v) if isinstance(v, tuple) else v for k, v in vars(a).items()})
        for a in augmentations.augs
    ]


@pytest.fixture(scope="module", params=available_configs())
def twins(request):
    cfg, lazy = get_config(request.param), get_config(request.param, suffix=".py")
    assert lazy.train.device == cfg.MODEL.DEVICE
    cfg.MODEL.DEVICE = "cpu"
    return cfg, lazy, build_yaml(cfg), build_lazy(lazy)


def test_every_row_of_the_results_table_has_a_config():
    assert {name for name in available_configs() if name in RESULTS_TABLE} == RESULTS_TABLE


def test_every_stem_has_both_twins():
    root = config_root()
    folders = [root, *(p for p in root.iterdir() if p.is_dir() and p.name != "common")]
    for folder in folders:
        yaml = {p.stem for p in folder.glob("*.yaml") if not p.stem.startswith("Base-")}
        assert yaml == {p.stem for p in folder.glob("*.py")}, folder


def test_same_state_dict(twins):
    _, _, model, lazy_model = twins
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    assert shapes == {key: value.shape for key, value in lazy_model.state_dict().items()}


def test_same_scalar_attributes(twins):
    _, _, model, lazy_model = twins
    assert scalar_attributes(model) == scalar_attributes(lazy_model)


def test_same_buffers_outside_the_state_dict(twins):
    _, _, model, lazy_model = twins
    other = dict(lazy_model.named_buffers())
    for name, value in model.named_buffers():
        if "pixel" in name or "anchor" in name:
            assert value.tolist() == other[name].tolist(), name


def test_same_frozen_parameters(twins):
    _, _, model, lazy_model = twins
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {name for name, p in lazy_model.named_parameters() if not p.requires_grad}


def test_same_initial_spread_of_the_head(twins):
    # The seed does not fix both alike, so deviations are compared. That of 9,000 draws has a
    # standard error of 0.75 %.
    _, _, model, lazy_model = twins
    other = dict(lazy_model.head.named_parameters())
    large = [name for name, weight in other.items() if weight.numel() >= 9_000]
    assert large
    for name in large:
        weight = model.head.get_parameter(name)
        assert weight.std().item() == pytest.approx(other[name].std().item(), rel=0.05), name


def test_same_optimizer(twins):
    cfg, lazy, model, lazy_model = twins
    one = build_optimizer(cfg, model)
    lazy.optimizer.params.model = lazy_model
    other = instantiate(lazy.optimizer)
    del lazy.optimizer.params["model"]
    assert type(one) is type(other)
    assert groups(one, model) == groups(other, lazy_model)
    keys = set(one.defaults) - {"foreach"}  # how, not what
    assert {k: one.defaults[k] for k in keys} == {k: other.defaults[k] for k in keys}


def test_same_schedule(twins):
    cfg, lazy, model, _ = twins
    optimizer = build_optimizer(cfg, model)
    scheduler = build_lr_scheduler(cfg, optimizer)
    multiplier = instantiate(lazy.lr_multiplier)
    maximum = cfg.SOLVER.MAX_ITER
    assert lazy.train.max_iter == maximum
    steps = [*cfg.SOLVER.STEPS] if "Step" in cfg.SOLVER.LR_SCHEDULER_NAME else []
    points = {0, 1, cfg.SOLVER.WARMUP_ITERS, maximum // 2, maximum - 1}
    for step in points | set(steps) | {s - 1 for s in steps}:
        assert scheduler._multiplier(step / maximum) == pytest.approx(multiplier(step / maximum))


def test_same_data(twins):
    cfg, lazy, _, _ = twins
    data = lazy.dataloader
    train_mapper, test_mapper = instantiate(data.train.mapper), instantiate(data.test.mapper)
    for is_train, mapper in ((True, train_mapper), (False, test_mapper)):
        expected = training_mapper(cfg) if is_train else DatasetMapper(cfg, is_train)
        assert plain(expected.augmentations) == plain(mapper.augmentations)
        assert expected.image_format == mapper.image_format
    assert (data.train.dataset.names,) == tuple(cfg.DATASETS.TRAIN)
    assert (data.test.dataset.names,) == tuple(cfg.DATASETS.TEST)
    assert data.train.dataset.filter_empty == cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
    assert data.train.total_batch_size == cfg.SOLVER.IMS_PER_BATCH
    assert data.train.num_workers == data.test.num_workers == cfg.DATALOADER.NUM_WORKERS


def test_same_run_settings(twins):
    cfg, lazy, _, _ = twins
    train = lazy.train
    assert train.init_checkpoint == cfg.MODEL.WEIGHTS
    assert train.eval_period == cfg.TEST.EVAL_PERIOD
    assert train.checkpointer.period == cfg.SOLVER.CHECKPOINT_PERIOD
    assert (train.amp.enabled, train.amp.precision) == (
        cfg.SOLVER.AMP.ENABLED,
        cfg.SOLVER.AMP.PRECISION,
    )
    assert train.seed == cfg.SEED
    assert training_options(lazy) == TrainingOptions(
        **{key.lower(): value for key, value in cfg.TRAINING.items()}
    )
    assert Path(train.output_dir) == Path(cfg.OUTPUT_DIR)


def test_head_comment_gives_a_command(twins):
    cfg, lazy, *_ = twins
    del cfg, lazy
    for name in available_configs():
        for suffix in (".yaml", ".py"):
            head = Path(config_file(name, suffix=suffix)).read_text().split("\n\n")[0]
            assert f"train_net.py --config-file configs/{name}{suffix}" in head


@pytest.mark.parametrize("name", available_configs())
def test_the_head_of_a_lazy_config_follows_the_pyramid(name):
    lazy = get_config(name, suffix=".py")
    lazy = LazyConfig.apply_overrides(lazy, ["model.backbone.channels=32", "model.num_classes=3"])
    with torch.device("meta"):
        backbone = instantiate(lazy.model.backbone)
    shapes = [backbone.output_shape()[name] for name in lazy.model.head_in_features]
    head = instantiate(lazy.model.head)
    with torch.no_grad():
        outputs = head([torch.zeros(1, shape.channels, 4, 4) for shape in shapes])
    assert {shape.channels for shape in shapes} == {32}
    channels = 3 * getattr(head, "num_anchors", 1)
    assert [level.shape[1] for level in outputs.logits] == [channels] * len(shapes)


MULTI_SCALE = sorted(name for name in RESULTS_TABLE if "_MS_" in name)


def test_the_other_published_range_is_selected_as_the_head_comments_say():
    for name in MULTI_SCALE:
        told = [
            Path(config_file(name, suffix=suffix))
            .read_text()
            .split("append\n#   ")[1]
            .split("\n")[0]
            for suffix in (".yaml", ".py")
        ]
        cfg, lazy = get_config(name), get_config(name, suffix=".py")
        assert cfg.INPUT.MIN_SIZE_TRAIN == (480, 960)
        cfg.merge_from_list(shlex.split(told[0]))
        assert cfg.INPUT.MIN_SIZE_TRAIN == (640, 800)
        assert cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING == "range"
        lazy = LazyConfig.apply_overrides(lazy, shlex.split(told[1]))
        resize = instantiate(lazy.dataloader.train.mapper).augmentations.augs[0]
        assert (*resize.short_edge_length,) == (640, 800) and resize.is_range
