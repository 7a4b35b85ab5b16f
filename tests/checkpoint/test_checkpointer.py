"""Tests of vfnet_d2.checkpoint.checkpointer."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.helpers.checkpoints import save_mmdet, thin_state
from tests.helpers.log_lines import log_lines
from tests.helpers.small_model import small_model
from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.errors import CheckpointError


class Net(nn.Module):
    """Two layers and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 2)
        self.head = nn.Linear(2, 1)
        self.register_buffer("steps", torch.zeros(1))


def filled(model: nn.Module, value: float) -> dict[str, Tensor]:
    """A state of the model's shapes with one value everywhere."""
    return {name: torch.full_like(tensor, value) for name, tensor in model.state_dict().items()}


def save(folder: Path, state: dict[str, Tensor]) -> str:
    torch.save({"model": state}, folder / "weights.pth")
    return str(folder / "weights.pth")


def values(model: nn.Module) -> dict[str, float]:
    """The value of each tensor, all of whose elements are equal."""
    found = {name: set(tensor.flatten().tolist()) for name, tensor in model.state_dict().items()}
    assert all(len(items) == 1 for items in found.values())
    return {name: items.pop() for name, items in found.items()}


@pytest.fixture
def net() -> Net:
    """A net that is 1 everywhere."""
    model = Net()
    model.load_state_dict(filled(model, 1.0))
    return model


def test_fills_every_tensor(net: Net, tmp_path: Path) -> None:
    CheckedCheckpointer(net).load(save(tmp_path, filled(net, 5.0)))
    assert set(values(net).values()) == {5.0}


def test_what_it_saved_it_loads(tmp_path: Path) -> None:
    model, other = small_model(seed=1), small_model(seed=2)
    CheckedCheckpointer(model, str(tmp_path)).save("weights", iteration=7)
    rest = CheckedCheckpointer(other).load(str(tmp_path / "weights.pth"))
    assert rest["iteration"] == 7
    state = model.state_dict()
    for name, tensor in other.state_dict().items():
        assert tensor.equal(state[name]), name


def test_no_path_loads_nothing(net: Net) -> None:
    assert CheckedCheckpointer(net).load("") == {}
    assert set(values(net).values()) == {1.0}


def test_missing_file_names_both_config_keys(net: Net) -> None:
    with pytest.raises(FileNotFoundError) as error:
        CheckedCheckpointer(net).load("none.pth")
    expected = ["none.pth does not exist", "MODEL.WEIGHTS", "train.init_checkpoint"]
    assert all(text in str(error.value) for text in expected)


def test_a_part_that_fits_is_loaded_and_the_rest_is_named(net: Net, tmp_path: Path) -> None:
    state = {name: t for name, t in filled(net, 5.0).items() if name.startswith("body")}
    path = save(tmp_path, {**state, "decoder.weight": torch.zeros(1)})
    with log_lines("fvcore") as lines, log_lines("detectron2") as more:
        CheckedCheckpointer(net).load(path)
    loaded = {"body.weight": 5.0, "body.bias": 5.0}
    assert values(net) == {**loaded, "head.weight": 1.0, "head.bias": 1.0, "steps": 1.0}
    said = "\n".join([*lines, *more])
    assert "head" in said and "decoder" in said


def test_one_parameter_of_another_shape_is_left_out(net: Net, tmp_path: Path) -> None:
    # As when a detector for other classes is fine-tuned.
    state = {**filled(net, 5.0), "head.weight": torch.zeros(7, 2), "head.bias": torch.zeros(7)}
    CheckedCheckpointer(net).load(save(tmp_path, state))
    assert values(net) == {
        **{"body.weight": 5.0, "body.bias": 5.0, "steps": 5.0},
        **{"head.weight": 1.0, "head.bias": 1.0},
    }


def test_foreign_names_are_refused(net: Net, tmp_path: Path) -> None:
    path = save(tmp_path, {"roi.weight": torch.zeros(2, 3), "roi.bias": torch.zeros(2)})
    with pytest.raises(ValueError) as error:
        CheckedCheckpointer(net).load(path)
    assert str(error.value) == (
        "the checkpoint fits no parameter of Net: expected names such as "
        "['body.weight', 'body.bias', 'head.weight'], found ['roi.weight', 'roi.bias'] "
        "(2 entries). Is it a checkpoint of another architecture or project?"
    )


def test_our_names_with_other_shapes_are_refused(net: Net, tmp_path: Path) -> None:
    state = {name: torch.zeros(9, 9) for name, _ in net.named_parameters()}
    with pytest.raises(ValueError, match=r"\(4 entries, 4 of another shape\)"):
        CheckedCheckpointer(net).load(save(tmp_path, state))


def test_a_buffer_alone_is_no_match(net: Net, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fits no parameter of Net"):
        CheckedCheckpointer(net).load(save(tmp_path, {"steps": torch.zeros(1)}))


def test_a_model_without_parameters_takes_any_file(tmp_path: Path) -> None:
    CheckedCheckpointer(nn.Identity()).load(save(tmp_path, {"a": torch.zeros(1)}))


def test_pickled_imagenet_weights_fill_the_backbone(tmp_path: Path) -> None:
    # Detectron2's ImageNet files: a pickle of arrays, with names that lack the model's prefix.
    model = small_model()
    prefix = "backbone.bottom_up."
    state = model.state_dict()
    arrays = {
        name.removeprefix(prefix): np.full(tensor.shape, 0.5, np.float32)
        for name, tensor in state.items()
        if name.startswith(prefix) and "num_batches_tracked" not in name
    }
    content = {"model": arrays, "__author__": "torchvision", "matching_heuristics": True}
    (tmp_path / "R-18.pkl").write_bytes(pickle.dumps(content))
    before = {name: tensor.clone() for name, tensor in state.items()}
    CheckedCheckpointer(model).load(str(tmp_path / "R-18.pkl"))
    for name, tensor in model.state_dict().items():
        if name.removeprefix(prefix) in arrays:
            assert (tensor == 0.5).all(), name
        else:
            assert tensor.equal(before[name]), name


def test_a_file_of_mmdet_is_to_be_converted_first(net: Net, tmp_path: Path) -> None:
    path = save_mmdet(tmp_path / "x.pth", thin_state("vfnet_r50_fpn"))
    with pytest.raises(CheckpointError, match=r"of mmdet\. .* tools/convert_checkpoint\.py"):
        CheckedCheckpointer(net).load(str(path))


def test_a_damaged_file(net: Net, tmp_path: Path) -> None:
    path = Path(save(tmp_path, filled(net, 5.0)))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"weights\.pth is truncated or corrupted"):
        CheckedCheckpointer(net).load(str(path))


@pytest.mark.parametrize("name", ["x.pth", "x.pkl"])
def test_a_hostile_file_does_not_run(name: str, net: Net, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "trace"),)

    if name == "x.pth":
        torch.save({"model": filled(net, 5.0), "more": Hostile()}, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(pickle.dumps({"model": {}, "more": Hostile()}))
    with pytest.raises(CheckpointError, match="which may run any code"):
        CheckedCheckpointer(net).load(str(tmp_path / name))
    assert not (tmp_path / "trace").exists()


def test_a_part_of_the_weights_is_not_evaluated(net: Net, tmp_path: Path) -> None:
    state = {name: t for name, t in filled(net, 5.0).items() if name.startswith("body")}
    with pytest.raises(CheckpointError, match=r"weights\.pth does not fill 3 of the 5 tensors"):
        CheckedCheckpointer(net).load_for_evaluation(save(tmp_path, state))


def test_weights_of_another_shape_are_not_evaluated(net: Net, tmp_path: Path) -> None:
    state = {**filled(net, 5.0), "head.bias": torch.zeros(7)}
    with pytest.raises(CheckpointError, match=r"does not fill 1 of .* first head\.bias"):
        CheckedCheckpointer(net).load_for_evaluation(save(tmp_path, state))


def test_more_weights_than_the_model_has_are_not_evaluated(net: Net, tmp_path: Path) -> None:
    state = {**filled(net, 5.0), "body.conv_offset.weight": torch.zeros(7)}
    with pytest.raises(CheckpointError, match=r"has 1 tensors that Net lacks, first body\."):
        CheckedCheckpointer(net).load_for_evaluation(save(tmp_path, state))


def test_safetensors_without_metadata_are_loaded_as_any_file(net: Net, tmp_path: Path) -> None:
    save_file(filled(net, 5.0), tmp_path / "x.safetensors")
    CheckedCheckpointer(net).load(str(tmp_path / "x.safetensors"))
    assert set(values(net).values()) == {5.0}
