"""Tests of vfnet_d2.engine.predictor."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import Instances
from PIL import Image
from torch import nn

from tests.helpers.quick_model import LAZY, YAML, quick_model, save_weights
from vfnet_d2.engine.predictor import Predictor, load_predictor


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return quick_model().eval()


@pytest.fixture(scope="module")
def weights(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_weights(model, tmp_path_factory.mktemp("weights") / "model.pth")


@pytest.fixture(scope="module")
def predictors(weights: Path) -> dict[str, Predictor]:
    """Of the same weights, from the YAML config and from its LazyConfig twin."""
    return {
        "yaml": load_predictor(YAML, ["MODEL.WEIGHTS", str(weights), "MODEL.DEVICE", "cpu"]),
        "lazy": load_predictor(LAZY, [f"train.init_checkpoint={weights}", "train.device=cpu"]),
    }


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, np.ndarray]:
    """A file, 320 wide and 240 high, and its RGB pixels."""
    coarse = np.random.default_rng(1).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((320, 240), Image.Resampling.BILINEAR)
    path = tmp_path_factory.mktemp("images") / "noise.png"
    picture.save(path)
    return str(path), np.asarray(picture)


def assert_same(found: Instances, expected: Instances) -> None:
    assert len(found) == len(expected) >= 10
    assert found.image_size == expected.image_size
    assert found.pred_classes.tolist() == expected.pred_classes.tolist()
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        found.pred_boxes.tensor, expected.pred_boxes.tensor, rtol=1e-5, atol=1e-3
    )


def test_both_config_systems_detect_the_same(
    predictors: dict[str, Predictor], image: tuple[str, np.ndarray]
) -> None:
    found = [predictors[kind]({"file_name": image[0]}) for kind in ("yaml", "lazy")]
    assert_same(found[0], found[1])


@pytest.mark.parametrize("kind", ["yaml", "lazy"])
def test_detects_what_the_model_detects_on_an_image_resized_by_hand(
    predictors: dict[str, Predictor], model: nn.Module, image: tuple[str, np.ndarray], kind: str
) -> None:
    # The shorter side becomes 224: 320 x 240 is resized to 299 x 224, in RGB.
    resized = Image.fromarray(image[1]).resize((299, 224), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1)
    with torch.no_grad():
        (expected,) = model([{"image": pixels, "height": 240, "width": 320}])
    found = predictors[kind]({"file_name": image[0]})
    assert_same(found, expected["instances"])
    # In the coordinates of the file: beyond the right edge of the resized image.
    assert found.image_size == (240, 320)
    assert 299 < found.pred_boxes.tensor[:, 2].max() <= 320


def test_is_not_training(predictors: dict[str, Predictor]) -> None:
    assert not any(p.model.training for p in predictors.values())


def test_the_test_set_of_the_config_is_known(predictors: dict[str, Predictor]) -> None:
    assert [p.test_datasets for p in predictors.values()] == [["shapes_val"]] * 2


def test_the_dataset_dict_stays_as_it_is(
    predictors: dict[str, Predictor], image: tuple[str, np.ndarray]
) -> None:
    item: dict[str, Any] = {"file_name": image[0], "annotations": [], "image_id": 3}
    predictors["yaml"](item)
    assert item == {"file_name": image[0], "annotations": [], "image_id": 3}


def test_overrides_change_the_model(weights: Path, image: tuple[str, np.ndarray]) -> None:
    options = ["MODEL.WEIGHTS", str(weights), "TEST.DETECTIONS_PER_IMAGE", "3"]
    assert len(load_predictor(YAML, options)({"file_name": image[0]})) == 3


@pytest.mark.parametrize(
    ("config", "options"),
    [(YAML, ["MODEL.WEIGHTS", "none.pth"]), (LAZY, ["train.init_checkpoint=none.pth"])],
)
def test_missing_weights(config: str, options: list[str]) -> None:
    with pytest.raises(FileNotFoundError, match=r"checkpoint none\.pth does not exist"):
        load_predictor(config, options)


def test_weights_of_another_model(tmp_path: Path) -> None:
    path = save_weights(nn.Linear(2, 2), tmp_path / "linear.pth")
    with pytest.raises(ValueError, match="fits no parameter of VFNet"):
        load_predictor(YAML, ["MODEL.WEIGHTS", str(path)])
