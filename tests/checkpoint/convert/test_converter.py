"""Tests of vfnet_d2.checkpoint.convert.converter."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.helpers.checkpoints import ARCHITECTURES, METADATA, save_mmdet, thin_state
from vfnet_d2.checkpoint.convert.architecture import Architecture
from vfnet_d2.checkpoint.convert.backbones import Backbone
from vfnet_d2.checkpoint.convert.converter import ConversionError, convert_checkpoint
from vfnet_d2.checkpoint.convert.mmdet_keys import from_mmdet
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.files import read_file

NAME = "vfnet_r50_mdconv"
CLASSES = tuple(f"class {index}" for index in range(80))


@pytest.fixture
def state() -> dict[str, Tensor]:
    """A small state dict of VFNet R-50 with deformable convolutions, in mmdet's names."""
    return thin_state(NAME)


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].equal(tensor), name


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_there_and_back_gives_identical_tensors(name: str, suffix: str, tmp_path: Path) -> None:
    state = thin_state(name)
    source = save_mmdet(tmp_path / "in.pth", state)
    convert_checkpoint(source, tmp_path / f"ours{suffix}")
    convert_checkpoint(tmp_path / f"ours{suffix}", tmp_path / "back.pth", to="mmdet")
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    assert_same(back["state_dict"], state)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_tensor_stands_under_our_name(name: str, tmp_path: Path) -> None:
    state = thin_state(name)
    convert_checkpoint(save_mmdet(tmp_path / "in.pth", state), tmp_path / "out.pth")
    names = {x: from_mmdet(x, res2net="res2net" in name) for x in state}
    written = read_file(tmp_path / "out.pth")["model"]
    assert_same(written, {ours: state[theirs] for theirs, ours in names.items()})


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_the_file_says_about_itself(
    suffix: str, state: dict[str, Tensor], tmp_path: Path
) -> None:
    source = save_mmdet(tmp_path / "in.pth", state, meta={"CLASSES": CLASSES})
    convert_checkpoint(source, tmp_path / f"out{suffix}")
    assert read_file(tmp_path / f"out{suffix}")["vfnet_d2"] == {
        "architecture": "vfnet_R_50_DCN",
        "detector": "VFNet",
        "configs": ["vfnet_R_50_DCN_MS_2x"],
        "num_classes": 80,
        "classifier_dropped": False,
        "class_names": list(CLASSES),
        "config": None,
        "lazy_config": None,
        "num_classes_key": None,
        "classifiers": {"head.cls_pred": 1},
        "schema_version": 2,
        "source_file": "in.pth",
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "input_convention": {
            "input_format": "RGB",
            "pixel_mean": [123.675, 116.28, 103.53],
            "pixel_std": [58.395, 57.12, 57.375],
            "told_by": "nothing in the file, so that of the published models",
        },
        "converter_version": 1,
    }


def test_mmdet_finds_the_class_names_where_both_generations_look(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    source = save_mmdet(tmp_path / "in.pth", state, meta={"CLASSES": CLASSES})
    convert_checkpoint(source, tmp_path / "ours.pth")
    convert_checkpoint(tmp_path / "ours.pth", tmp_path / "back.pth", to="mmdet")
    meta = torch.load(tmp_path / "back.pth", weights_only=True)["meta"]
    assert meta["CLASSES"] == meta["dataset_meta"]["classes"] == CLASSES


def test_reads_safetensors_and_bare_state_dicts(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "in.safetensors")
    torch.save(state, tmp_path / "bare.pth")
    for index, name in enumerate(["in.safetensors", "bare.pth"]):
        convert_checkpoint(tmp_path / name, tmp_path / f"{index}.pth")
    first, second = (read_file(tmp_path / f"{index}.pth")["model"] for index in (0, 1))
    assert_same(first, second)


def test_everything_of_a_training_checkpoint_is_accounted_for(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    more = {"ema_backbone_conv1_weight": torch.zeros(1), "data_preprocessor.std": torch.zeros(3)}
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    source = save_mmdet(tmp_path / "in.pth", {**wrapped, **more}, optimizer={"lr": 1.0})
    report = convert_checkpoint(source, tmp_path / "out.pth").report
    assert report.complete
    assert len(report.mapped) == len(state)
    assert {name for name, _ in report.ignored} == {*more, "optimizer"}


def test_a_file_without_counters_is_complete(state: dict[str, Tensor], tmp_path: Path) -> None:
    kept = {name: x for name, x in state.items() if "num_batches_tracked" not in name}
    source = save_mmdet(tmp_path / "in.pth", kept)
    assert convert_checkpoint(source, tmp_path / "out.pth").report.complete


def test_the_summary(state: dict[str, Tensor], tmp_path: Path) -> None:
    source = save_mmdet(tmp_path / "in.pth", state)
    lines = convert_checkpoint(source, tmp_path / "out.pth").summary().splitlines()
    assert lines[:2] == [
        "architecture: vfnet_R_50_DCN (VFNet), 80 classes (names unknown)",
        "configs: vfnet_R_50_DCN_MS_2x",
    ]
    assert lines[4] == "tensors: 403 mapped, 0 ignored, 0 missing, 0 left over"


@pytest.mark.parametrize("right", [True, False])
def test_a_name_that_promises_another_hash_is_warned_of(
    right: bool, state: dict[str, Tensor], tmp_path: Path
) -> None:
    source = save_mmdet(tmp_path / "in.pth", state)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    named = source.rename(tmp_path / f"vfnet-{digest[:8] if right else 'deadbeef'}.pth")
    summary = convert_checkpoint(named, tmp_path / "out.pth").summary()
    assert ("warning: by its name" in summary) is not right


def test_dropping_the_classifier_drops_it_alone(state: dict[str, Tensor], tmp_path: Path) -> None:
    source = save_mmdet(tmp_path / "in.pth", state)
    convert_checkpoint(source, tmp_path / "all.pth")
    convert_checkpoint(source, tmp_path / "out.pth", num_classes=3, drop_classifier=True)
    everything, rest = (read_file(tmp_path / name) for name in ("all.pth", "out.pth"))
    assert everything["model"].keys() - rest["model"].keys() == {
        "head.cls_pred.weight",
        "head.cls_pred.bias",
    }
    assert rest["vfnet_d2"] == {**everything["vfnet_d2"], "classifier_dropped": True}


def test_the_classifier_of_a_converted_file_can_be_dropped_too(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    source = save_mmdet(tmp_path / "in.pth", state)
    convert_checkpoint(source, tmp_path / "direct.pth", drop_classifier=True)
    convert_checkpoint(source, tmp_path / "all.safetensors")
    convert_checkpoint(tmp_path / "all.safetensors", tmp_path / "later.pth", drop_classifier=True)
    # ... and what has none stays without when its container changes.
    convert_checkpoint(tmp_path / "later.pth", tmp_path / "again.safetensors")
    direct, again = (read_file(tmp_path / name) for name in ("direct.pth", "again.safetensors"))
    assert_same(direct["model"], again["model"])
    assert direct["vfnet_d2"] == again["vfnet_d2"]


def refuse(source: Path, error: type[Exception], message: str, **options: Any) -> Exception:
    """Convert, expect an error that matches, and no new file."""
    before = sorted(source.parent.iterdir())
    with pytest.raises(error, match=message) as caught:
        convert_checkpoint(source, source.parent / "out.pth", **options)
    assert sorted(source.parent.iterdir()) == before
    return caught.value


def test_another_number_of_classes(state: dict[str, Tensor], tmp_path: Path) -> None:
    state["bbox_head.vfnet_cls.weight"] = torch.zeros(20, 1, 1, 1)
    source = save_mmdet(tmp_path / "in.pth", state)
    message = r"has 20 classes, but 80 .*--num-classes 20 .*20\), or .*--drop-classifier"
    refuse(source, CheckpointError, message)
    done = convert_checkpoint(source, tmp_path / "out.pth", num_classes=20)
    assert done.metadata.num_classes == 20


def test_missing_and_left_over_tensors_are_all_named(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    del state["neck.fpn_convs.4.conv.bias"], state["backbone.layer3.2.bn2.running_var"]
    state |= {"neck.fpn_convs.5.conv.bias": torch.zeros(1), "mask_head.x": torch.zeros(1)}
    error = refuse(save_mmdet(tmp_path / "in.pth", state), ConversionError, "vfnet_R_50_DCN, but")
    assert str(error).splitlines()[1:] == [
        "missing: backbone.layer3.2.bn2.running_var",
        "missing: neck.fpn_convs.4.conv.bias",
        "left over: neck.fpn_convs.5.conv.bias",
        "left over: mask_head.x",
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(value: float, state: dict[str, Tensor], tmp_path: Path) -> None:
    state["neck.fpn_convs.0.conv.bias"][0] = value
    refuse(save_mmdet(tmp_path / "in.pth", state), CheckpointError, r"first neck\.fpn_convs\.0\.")


def test_another_detector(state: dict[str, Tensor], tmp_path: Path) -> None:
    other = {name.replace("vfnet_cls", "gfl_cls"): tensor for name, tensor in state.items()}
    message = r"in\.pth cannot be converted: it is a checkpoint of GFL; supported: .*VFNet"
    refuse(save_mmdet(tmp_path / "in.pth", other), CheckpointError, message)


def test_a_truncated_file(state: dict[str, Tensor], tmp_path: Path) -> None:
    source = save_mmdet(tmp_path / "in.pth", state)
    source.write_bytes(source.read_bytes()[:-3000])
    refuse(source, CheckpointError, r"in\.pth is truncated or corrupted")


def test_a_missing_file(tmp_path: Path) -> None:
    refuse(tmp_path / "in.pth", FileNotFoundError, r"in\.pth does not exist")


def test_there_is_nothing_to_do_from_mmdet_to_mmdet(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    source = save_mmdet(tmp_path / "in.pth", state)
    refuse(source, CheckpointError, "has mmdet's names already", to="mmdet")


def test_a_detector_that_mmdet_lacks_is_not_written_for_it(tmp_path: Path) -> None:
    # Its tensors have the names of ATSS', which decodes boxes otherwise.
    atss = Architecture("ATSS", Backbone((2, 2, 2, 2), False, 1, 1, 1, ()), False, 80)
    state = {pair.ours: torch.zeros(80, 1, 1, 1) for pair in atss.pairs}
    metadata = METADATA._replace(detector="FCOSATSS").as_dict()
    torch.save({"model": state, "vfnet_d2": metadata}, tmp_path / "in.pth")
    message = "of FCOSATSS, which mmdet does not have"
    refuse(tmp_path / "in.pth", CheckpointError, message, to="mmdet")


@pytest.mark.parametrize(
    ("target", "to", "message"),
    [
        ("out.pkl", "ours", "must end in one of"),
        ("out.safetensors", "mmdet", r"mmdet reads \.pth"),
        ("in.pth", "ours", "is the source itself"),
    ],
)
def test_targets_that_cannot_be_written(
    target: str, to: str, message: str, state: dict[str, Tensor], tmp_path: Path
) -> None:
    source = save_mmdet(tmp_path / "in.pth", state)
    before = source.read_bytes()
    with pytest.raises(CheckpointError, match=message):
        convert_checkpoint(source, tmp_path / target, to=to)
    assert source.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["in.pth"]
