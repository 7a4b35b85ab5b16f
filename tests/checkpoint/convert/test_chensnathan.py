"""Tests of vfnet_d2.checkpoint.convert.chensnathan, with a small network in its names."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.checkpoints import save_mmdet, thin_state
from tests.helpers.shrink import NUM_CLASSES
from tests.helpers.their_yolof import ANCHORS, TheirYOLOF, small_yolof
from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.convert.architecture import architecture_of, naming, shapes_of
from vfnet_d2.checkpoint.convert.chensnathan import (
    FOLDED_REASON,
    fold_biases,
    normed_convs,
    with_zero_biases,
    yolof_pairs,
)
from vfnet_d2.checkpoint.convert.converter import ConversionError, convert_checkpoint
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.files import read_file

BIASES = {f"{layer.conv}.bias" for layer in normed_convs()}


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    """A network in their names, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TheirYOLOF()


def save(path: Path, state: dict[str, Tensor]) -> Path:
    """Write a file as Detectron2's training does."""
    torch.save({"model": state, "optimizer": {"state": {}}, "iteration": 7}, path)
    return path


def outputs(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (N, A, K, H, W) and deltas (N, A, 4, H, W) of one of our models."""
    found = model.network(images)
    (logits,), (boxes,) = found.logits, found.boxes
    return logits.unflatten(1, (ANCHORS, NUM_CLASSES)), boxes.maps()[0].unflatten(1, (ANCHORS, 4))


@pytest.mark.parametrize("suffix", [".pth", ".pkl"])
def test_the_converted_network_computes_the_same(
    suffix: str, theirs: nn.Module, tmp_path: Path
) -> None:
    source = tmp_path / f"in{suffix}"
    if suffix == ".pkl":
        arrays = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
        source.write_bytes(pickle.dumps({"model": arrays, "__author__": "somebody"}))
    else:
        save(source, theirs.state_dict())
    convert_checkpoint(source, tmp_path / "ours.pth", num_classes=NUM_CLASSES)
    ours = small_yolof()
    # Tensors that were missing would be refused.
    CheckedCheckpointer(ours).load_for_evaluation(str(tmp_path / "ours.pth"))
    images = torch.randn(2, 3, 128, 160, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, found = theirs(images), outputs(ours, images)
    for want, have in zip(expected, found, strict=True):
        assert want.std() > 0.1  # the images are seen
        torch.testing.assert_close(have.double(), want.double(), rtol=1e-4, atol=1e-4)


def test_without_folding_it_would_compute_something_else(theirs: nn.Module) -> None:
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    other = TheirYOLOF()
    state = {**theirs.state_dict(), **dict.fromkeys(BIASES, torch.zeros(()))}
    sizes = other.state_dict()
    other.load_state_dict({name: tensor.expand_as(sizes[name]) for name, tensor in state.items()})
    with torch.no_grad():
        assert (other(images)[1] - theirs(images)[1]).abs().max() > 0.1


def test_the_way_back_gives_the_same_network(theirs: nn.Module, tmp_path: Path) -> None:
    source = save(tmp_path / "in.pth", theirs.state_dict())
    convert_checkpoint(source, tmp_path / "ours.pth", num_classes=NUM_CLASSES)
    options = {"to": "chensnathan", "num_classes": NUM_CLASSES}
    convert_checkpoint(tmp_path / "ours.pth", tmp_path / "back.pth", **options)
    back = TheirYOLOF()
    back.load_state_dict(read_file(tmp_path / "back.pth")["model"])
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for want, have in zip(theirs(images), back(images), strict=True):
            torch.testing.assert_close(have, want, rtol=1e-4, atol=1e-4)
    # ... and what has biases of zero comes back as it was.
    convert_checkpoint(tmp_path / "back.pth", tmp_path / "again.pth", num_classes=NUM_CLASSES)
    first, again = (read_file(tmp_path / name)["model"] for name in ("ours.pth", "again.pth"))
    assert first.keys() == again.keys()
    assert all(first[name].equal(again[name]) for name in first)


def test_every_tensor_of_theirs_is_accounted_for(theirs: nn.Module, tmp_path: Path) -> None:
    source = save(tmp_path / "in.pth", theirs.state_dict())
    report = convert_checkpoint(source, tmp_path / "out.pth", num_classes=NUM_CLASSES).report
    assert report.complete
    ignored = dict(report.ignored)
    assert {name for name, why in ignored.items() if why == FOLDED_REASON} == BIASES
    assert ignored.keys() - BIASES == {"pixel_mean", "pixel_std", "optimizer", "iteration"}
    assert {name for name, _ in report.mapped} | ignored.keys() >= set(theirs.state_dict())


def test_folding_by_hand_leaves_the_source_alone() -> None:
    layer = normed_convs()[0]
    state = {
        f"{layer.conv}.bias": torch.tensor([1.0, -2.0]),
        f"{layer.norm}.running_mean": torch.tensor([0.5, 0.5]),
    }
    folding = fold_biases(state)
    assert folding.state[f"{layer.norm}.running_mean"].tolist() == [-0.5, 2.5]
    assert folding.state.keys() == {f"{layer.norm}.running_mean"}
    assert state[f"{layer.norm}.running_mean"].tolist() == [0.5, 0.5]
    assert {*folding.missing, f"{layer.conv}.bias"} == BIASES


def test_biases_of_zero_have_the_size_of_their_layer() -> None:
    state = {f"{layer.norm}.running_mean": torch.ones(3) for layer in normed_convs()}
    added = with_zero_biases(state)
    assert added.keys() - state.keys() == BIASES
    assert all(added[name].equal(torch.zeros(3)) for name in BIASES)


@pytest.mark.parametrize(
    "name",
    ["decoder.cls_subnet.3.bias", "decoder.cls_subnet.4.running_mean", "encoder.fpn_conv.bias"],
)
def test_a_missing_tensor_is_named(name: str, theirs: nn.Module, tmp_path: Path) -> None:
    state = theirs.state_dict()
    del state[name]
    source = save(tmp_path / "in.pth", state)
    with pytest.raises(ConversionError, match=f"missing: {name}"):
        convert_checkpoint(source, tmp_path / "out.pth", num_classes=NUM_CLASSES)
    assert not (tmp_path / "out.pth").exists()


def test_the_names_are_recognised(theirs: nn.Module) -> None:
    shapes = shapes_of(theirs.state_dict())
    assert naming(shapes) == "chensnathan"
    found = architecture_of(shapes)
    assert (found.name, found.num_classes, found.anchors) == ("yolof_R_18_C5", NUM_CLASSES, ANCHORS)
    ours = shapes_of(small_yolof().state_dict())
    assert architecture_of(ours) == found
    assert {pair.ours for pair in yolof_pairs(found.backbone)} >= ours.keys()


@pytest.mark.parametrize(
    ("mean", "expected"), [([103.53, 116.28, 123.675], "MSRA"), ([1.0, 2.0, 3.0], "other")]
)
def test_the_mean_is_that_of_the_file(
    mean: list[float], expected: str, theirs: nn.Module, tmp_path: Path
) -> None:
    state = {**theirs.state_dict(), "pixel_mean": torch.tensor(mean).view(3, 1, 1)}
    source = save(tmp_path / "in.pth", state)
    done = convert_checkpoint(source, tmp_path / "out.pth", num_classes=NUM_CLASSES)
    convention = done.metadata.input_convention
    assert convention.input_format == "BGR"
    assert convention.pixel_mean == tuple(mean)
    assert convention.pixel_std == (1.0, 1.0, 1.0)
    assert ("published" in convention.told_by) is (expected == "MSRA")


def test_the_classifier_can_be_dropped_both_ways(theirs: nn.Module, tmp_path: Path) -> None:
    source = save(tmp_path / "in.pth", theirs.state_dict())
    convert_checkpoint(source, tmp_path / "ours.pth", drop_classifier=True)
    convert_checkpoint(tmp_path / "ours.pth", tmp_path / "back.pth", to="chensnathan")
    back = read_file(tmp_path / "back.pth")["model"]
    assert theirs.state_dict().keys() - back.keys() == {
        "decoder.cls_score.weight",
        "decoder.cls_score.bias",
    }


def test_another_detector_has_no_such_names(tmp_path: Path) -> None:
    source = save_mmdet(tmp_path / "in.pth", thin_state("vfnet_r50_fpn"))
    convert_checkpoint(source, tmp_path / "ours.pth")
    with pytest.raises(CheckpointError, match="is of vfnet_R_50: chensnathan has YOLOF alone"):
        convert_checkpoint(tmp_path / "ours.pth", tmp_path / "out.pth", to="chensnathan")
    with pytest.raises(CheckpointError, match="has mmdet's names: convert it into ours first"):
        convert_checkpoint(source, tmp_path / "out.pth", to="chensnathan")


def test_there_is_nothing_to_do_from_their_names_to_theirs(
    theirs: nn.Module, tmp_path: Path
) -> None:
    source = save(tmp_path / "in.pth", theirs.state_dict())
    with pytest.raises(CheckpointError, match="has chensnathan's names already"):
        convert_checkpoint(source, tmp_path / "out.pth", to="chensnathan", num_classes=5)


def test_a_training_asks_for_the_conversion(theirs: nn.Module, tmp_path: Path) -> None:
    source = save(tmp_path / "in.pth", theirs.state_dict())
    with pytest.raises(CheckpointError, match=r"github\.com/chensnathan/YOLOF\. Convert it once"):
        CheckedCheckpointer(small_yolof()).load(str(source))
