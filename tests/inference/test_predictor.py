"""Tests of vfnet_d2.inference.predictor."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.data import DatasetMapper
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from PIL import Image
from torch import nn

from tests.helpers.predicting import assert_identical
from tests.helpers.quick_model import LAZY, YAML, quick_config, quick_model, save_weights
from tests.helpers.reference import ROOT
from vfnet_d2.checkpoint.files import write_checkpoint
from vfnet_d2.checkpoint.trained import trained_metadata
from vfnet_d2.inference.predictor import Predictor, load_predictor
from vfnet_d2.inference.tiling import TiledInference
from vfnet_d2.inference.tta import AugmentedInference


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


# -- from a checkpoint alone --------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that says its config, of test size 96, and its classes."""
    path = tmp_path_factory.mktemp("telling") / "model.pth"
    cfg = quick_config("INPUT.MIN_SIZE_TEST", 96)
    metadata = trained_metadata(model, class_names=["a", "b", "c", "d", "e"], cfg=cfg)
    write_checkpoint(path, model.state_dict(), metadata.as_dict())
    return path


@pytest.fixture(scope="module")
def alone(checkpoint: Path) -> Predictor:
    return Predictor(checkpoint, device="cpu")


def test_the_package_has_it(checkpoint: Path) -> None:
    import vfnet_d2

    assert vfnet_d2.Predictor is Predictor


def test_the_package_imports_it_late() -> None:
    program = "import sys, vfnet_d2; print('vfnet_d2.inference.predictor' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False"


def test_all_kinds_of_images_give_the_same(alone: Predictor, image: tuple[str, np.ndarray]) -> None:
    path, pixels = image
    expected = alone({"file_name": path})
    assert_same(alone(path), expected)
    assert_same(alone(Path(path)), expected)
    assert_same(alone(Image.open(path)), expected)
    assert_same(alone(pixels, channel_order="RGB"), expected)
    assert_same(alone(pixels[:, :, ::-1], channel_order="BGR"), expected)


def test_a_list_gives_a_list(alone: Predictor, image: tuple[str, np.ndarray]) -> None:
    small = Image.open(image[0]).resize((200, 150))
    found = alone([image[0], small])
    assert [x.image_size for x in found] == [(240, 320), (150, 200)]
    assert_same(found[0], alone(image[0]))
    assert alone([]) == []


def test_class_names_belong_to_the_classes(alone: Predictor, image: tuple[str, np.ndarray]) -> None:
    assert alone.metadata.thing_classes == alone.class_names == ["a", "b", "c", "d", "e"]
    assert int(alone(image[0]).pred_classes.max()) < len(alone.class_names)


def test_the_score_threshold_cuts(
    alone: Predictor, checkpoint: Path, image: tuple[str, np.ndarray]
) -> None:
    everything = alone(image[0])
    middle = float(everything.scores[len(everything) // 2])
    strict = Predictor(checkpoint, device="cpu", score_threshold=middle)
    assert_same(strict(image[0]), everything[everything.scores > middle])


def test_the_score_threshold_holds_for_the_lowered_scores(
    checkpoint: Path, image: tuple[str, np.ndarray]
) -> None:
    found = Predictor(checkpoint, device="cpu", score_threshold=0.5, soft_nms="gaussian")(image[0])
    assert len(found) > 0
    assert found.scores.min() > 0.5


@pytest.fixture(scope="module")
def configured(model: nn.Module) -> Callable[..., Predictor]:
    """Makes a predictor of the same weights by further keys and values of the config."""

    def build(*options: Any) -> Predictor:
        cfg = quick_config("INPUT.MIN_SIZE_TEST", 96, *options)
        built = build_model(cfg)
        built.load_state_dict(model.state_dict())
        return Predictor.of_model(built, DatasetMapper(cfg, is_train=False))

    return build


def test_a_score_threshold_below_the_config_s(
    configured: Callable[..., Predictor], image: tuple[str, np.ndarray]
) -> None:
    most = ["TEST.DETECTIONS_PER_IMAGE", 100_000]
    low = configured(*most, "MODEL.ONE_STAGE.SCORE_THRESH", 0.0)(image[0])
    assert low.scores.min() < 0.05
    assert_identical(configured(*most)(image[0], score_threshold=0.0), low)


def test_soft_nms_is_that_of_the_config(
    alone: Predictor, configured: Callable[..., Predictor], image: tuple[str, np.ndarray]
) -> None:
    expected = configured("MODEL.ONE_STAGE.SUPPRESSION.NAME", "SoftNMS")(image[0])
    assert_identical(alone(image[0], soft_nms="linear"), expected)
    assert not torch.equal(alone(image[0]).scores, expected.scores)


def test_options_of_a_call_take_the_place_of_the_constructor_s(
    alone: Predictor, checkpoint: Path, image: tuple[str, np.ndarray]
) -> None:
    strict = Predictor(checkpoint, device="cpu", score_threshold=0.5, soft_nms="linear")
    for source in (image[0], {"file_name": image[0]}):
        found = strict(source, score_threshold=None, soft_nms=None)
        assert_identical(found, alone(image[0]))
        assert_identical(alone(source, score_threshold=0.5, soft_nms="linear"), strict(source))


def test_a_prediction_leaves_predictor_and_model_as_they_are(
    alone: Predictor, image: tuple[str, np.ndarray]
) -> None:
    def state() -> dict[str, Any]:
        return {**vars(alone), "of the model": alone.model.inference_settings}

    before, plain = state(), alone(image[0])
    alone(image[0], score_threshold=0.5, soft_nms="gaussian")
    alone(image[0], score_threshold=0.5, soft_nms="gaussian", tta=[(96, 200)], tile=160)
    assert state() == before
    assert_identical(alone(image[0]), plain)


def test_an_option_that_does_not_exist(alone: Predictor, image: tuple[str, np.ndarray]) -> None:
    with pytest.raises(TypeError, match="'threshold'; there are score_threshold, soft_nms, tta"):
        alone(image[0], threshold=0.5)


class Foreign(nn.Module):
    """A model as Detectron2 has them, which knows nothing of this project."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Find one box of class 0 in each image."""
        found = [Instances((item["height"], item["width"])) for item in inputs]
        for instances in found:
            instances.pred_boxes = Boxes(torch.tensor([[1.0, 2.0, 30.0, 40.0]]))
            instances.scores, instances.pred_classes = torch.tensor([0.75]), torch.tensor([0])
        return [{"instances": instances} for instances in found]


@pytest.fixture(scope="module")
def foreign() -> Predictor:
    return Predictor.of_model(Foreign(), DatasetMapper(quick_config(), is_train=False))


@pytest.mark.parametrize("options", [{}, {"batch_size": 2}, {"amp": "bf16"}, {"tile": 1000}])
def test_any_model_of_detectron2_predicts(
    foreign: Predictor, image: tuple[str, np.ndarray], options: dict[str, Any]
) -> None:
    assert foreign(image[0], **options).pred_boxes.tensor.tolist() == [[1, 2, 30, 40]]


@pytest.mark.parametrize("options", [{"score_threshold": 0.5}, {"soft_nms": "linear"}, {"tta": 1}])
def test_settings_are_for_detectors(
    foreign: Predictor, image: tuple[str, np.ndarray], options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="class Foreign, which takes no inference settings"):
        foreign(image[0], **options)


def test_with_the_identity_alone_tta_is_the_plain_prediction(
    alone: Predictor, checkpoint: Path, image: tuple[str, np.ndarray]
) -> None:
    one = Predictor(checkpoint, device="cpu", tta=[(96, 1333)], tta_flip=False)
    assert isinstance(one.inference, AugmentedInference)
    assert_identical(one(image[0]), alone(image[0]))


def test_tta_goes_into_the_tiles(checkpoint: Path) -> None:
    both = Predictor(checkpoint, device="cpu", tta=True, tile=64, tile_overlap=0.5, batch_size=3)
    tiled = both.inference
    assert isinstance(tiled, TiledInference) and isinstance(tiled.inference, AugmentedInference)
    assert (tiled.tile, tiled.overlap, tiled.batch_size) == (64, 0.5, 3)


def test_images_go_in_batches(alone: Predictor, image: tuple[str, np.ndarray]) -> None:
    sizes: list[int] = []
    hook = alone.model.backbone.register_forward_pre_hook(
        lambda module, arguments: sizes.append(len(arguments[0]))
    )
    try:
        assert len(alone([image[0]] * 5, batch_size=2)) == 5
    finally:
        hook.remove()
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_is_that_of_autocast(
    amp: str, alone: Predictor, checkpoint: Path, image: tuple[str, np.ndarray]
) -> None:
    mixed = Predictor(checkpoint, device="cpu", amp=amp)
    with torch.autocast("cpu", dtype={"bf16": torch.bfloat16, "fp16": torch.float16}[amp]):
        expected = alone(image[0])
    assert not torch.equal(expected.scores[:5], alone(image[0]).scores[:5])
    for source in (image[0], {"file_name": image[0]}):
        found = mixed(source)
        assert_same(found, expected)
        assert found.scores.dtype == found.pred_boxes.tensor.dtype == torch.float32


@pytest.mark.parametrize("options", [{"tta": [(96, 1333)]}, {"tile": 128}])
def test_mixed_precision_goes_into_views_and_tiles(
    options: dict[str, Any], checkpoint: Path, image: tuple[str, np.ndarray]
) -> None:
    plain, mixed = (
        Predictor(checkpoint, device="cpu", amp=amp, **options) for amp in (None, "bf16")
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = plain(image[0])
    assert_same(mixed(image[0]), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"amp": "int8"}, "amp is 'int8', which is unknown; choose one of .'bf16', 'fp16'."),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"soft_nms": "cubic"}, "method is 'cubic'"),
        ({"tile": 0}, "side is 0"),
    ],
)
def test_bad_options(checkpoint: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Predictor(checkpoint, device="cpu", **options)


def test_an_array_must_say_its_channels(alone: Predictor, image: tuple[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match='pass channel_order="RGB"'):
        alone(image[1])
