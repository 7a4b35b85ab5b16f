"""Tests of vfnet_d2.checkpoint.fit."""

import pytest
import torch
from torch import nn

from tests.helpers.checkpoints import METADATA, mmdet_shapes
from vfnet_d2.checkpoint.convert.backbones import Shapes
from vfnet_d2.checkpoint.convert.mmdet_keys import from_mmdet
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.fit import (
    ModelTraits,
    check_complete,
    check_converted,
    convention_warning,
)
from vfnet_d2.checkpoint.metadata import PUBLISHED_INPUT, Metadata


def our_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of one of our models."""
    return {from_mmdet(key): shape for key, shape in mmdet_shapes(name).items()}


PLAIN, DCN = our_shapes("vfnet_r50_fpn"), our_shapes("vfnet_r50_mdconv")
OF_PLAIN = METADATA
OF_DCN = METADATA._replace(architecture="vfnet_R_50_DCN", configs=["vfnet_R_50_DCN_MS_2x"])


def of_classes(shapes: Shapes, number: int) -> dict[str, tuple[int, ...]]:
    """The same model with another number of classes."""
    return {
        **{key: tuple(shape) for key, shape in shapes.items()},
        "head.cls_pred.weight": (number, 256, 3, 3),
        "head.cls_pred.bias": (number,),
    }


def without(shapes: Shapes, part: str) -> dict[str, tuple[int, ...]]:
    """A model without the tensors whose names contain ``part``."""
    return {key: tuple(shape) for key, shape in shapes.items() if part not in key}


def test_a_file_fits_its_own_model() -> None:
    check_converted(OF_PLAIN, PLAIN, PLAIN, "x.pth", traits=ModelTraits("VFNet"))


@pytest.mark.parametrize("side", ["file", "model"])
def test_counters_do_not_matter(side: str) -> None:
    fewer = without(PLAIN, "num_batches_tracked")
    file, model = (fewer, PLAIN) if side == "file" else (PLAIN, fewer)
    check_converted(OF_PLAIN, file, model, "x.pth", traits=ModelTraits("VFNet"))


@pytest.mark.parametrize(
    ("metadata", "file", "model", "expected"),
    [
        (
            OF_DCN,
            DCN,
            PLAIN,
            "x.pth is a checkpoint of vfnet_R_50_DCN, but the model is vfnet_R_50.",
        ),
        (
            OF_PLAIN,
            PLAIN,
            DCN,
            "x.pth is a checkpoint of vfnet_R_50, but the model is vfnet_R_50_DCN",
        ),
    ],
)
def test_deformable_and_rigid_are_not_mixed(
    metadata: Metadata, file: Shapes, model: Shapes, expected: str
) -> None:
    with pytest.raises(CheckpointError) as error:
        check_converted(metadata, file, model, "x.pth", traits=ModelTraits("VFNet"))
    assert str(error.value).startswith(expected)
    assert metadata.configs[0] in str(error.value)
    # 13 convolutions of stages 2 to 4 (4 + 6 + 3) and one of either tower, a weight and a bias each
    assert "30 tensors do not fit" in str(error.value)


def test_another_model_altogether() -> None:
    with pytest.raises(
        CheckpointError, match=r"the model is VFNet, of no shipped arch.*first head"
    ):
        check_converted(
            OF_PLAIN, PLAIN, without(PLAIN, "refine_star"), "x.pth", traits=ModelTraits("VFNet")
        )


def test_another_number_of_classes_names_both_and_the_way_out() -> None:
    traits = ModelTraits("VFNet", {"head.cls_pred": 1}, "MODEL.ONE_STAGE.NUM_CLASSES")
    with pytest.raises(CheckpointError) as error:
        check_converted(OF_PLAIN, PLAIN, of_classes(PLAIN, 5), "x.pth", traits=traits)
    expected = [
        "x.pth has 80 classes, but the model has 5 (MODEL.ONE_STAGE.NUM_CLASSES",
        "tools/convert_checkpoint.py x.pth OUT.pth --drop-classifier",
    ]
    assert all(text in str(error.value) for text in expected)


def test_classes_are_counted_once_for_all_anchors_of_a_cell() -> None:
    # RetinaNet predicts each class nine times.
    file = {"head.cls_pred.weight": (9 * 80, 256, 3, 3), "head.cls_pred.bias": (9 * 80,)}
    model = {"head.cls_pred.weight": (9 * 5, 256, 3, 3), "head.cls_pred.bias": (9 * 5,)}
    name = "OneStageRetinaNet"
    metadata = METADATA._replace(architecture=f"{name}, of no shipped architecture", detector=name)
    with pytest.raises(CheckpointError, match="has 80 classes, but the model has 5 "):
        check_converted(metadata, file, model, "x.pth", traits=ModelTraits(name))


def test_a_detector_without_a_key_table_of_another_number_of_classes() -> None:
    file = {"head.cls_pred.weight": (80, 256, 3, 3), "head.cls_pred.bias": (80,)}
    model = {"head.cls_pred.weight": (5, 256, 3, 3), "head.cls_pred.bias": (5,)}
    metadata = METADATA._replace(
        architecture="FCOSATSS, of no shipped architecture", detector="FCOSATSS"
    )
    with pytest.raises(CheckpointError, match="has 80 classes, but the model has 5 "):
        check_converted(metadata, file, model, "x.pth", traits=ModelTraits("FCOSATSS"))


def test_the_layers_of_the_classifier_are_the_model_s() -> None:
    # Two decoder layers with a classifier each, of three rows per class.
    def shapes(number: int) -> dict[str, tuple[int, ...]]:
        layers = {f"decoder.{i}.classes.weight": (3 * number, 8) for i in (0, 1)}
        return {**layers, "decoder.norm.weight": (8,)}

    layers = {"decoder.0.classes": 3, "decoder.1.classes": 3}
    name = "Other, of no shipped architecture"
    metadata = METADATA._replace(architecture=name, detector="Other")
    traits = ModelTraits("Other", layers, "MODEL.OTHER.CLASSES")
    with pytest.raises(CheckpointError, match=r"has 80 classes, .* 5 \(MODEL\.OTHER\.CLASSES"):
        check_converted(metadata, shapes(80), shapes(5), "x.pth", traits=traits)
    dropped = metadata._replace(classifier_dropped=True)
    file = {"decoder.norm.weight": (8,)}
    check_converted(dropped, file, shapes(5), "x.pth", traits=traits)
    # Of a model that does not say them, they are the file's.
    recorded = dropped._replace(classifiers=layers)
    check_converted(recorded, file, shapes(5), "x.pth", traits=ModelTraits("Other"))


def test_the_classifier_of_an_unknown_detector_is_not_guessed() -> None:
    dropped = METADATA._replace(detector="Other", classifier_dropped=True)
    file = without(PLAIN, "head.cls_pred.")
    with pytest.raises(CheckpointError, match=r"x\.pth was .* neither the file nor .*, a Other"):
        check_converted(dropped, file, PLAIN, "x.pth", traits=ModelTraits("Other"))


def test_equal_tensors_of_another_detector_are_refused() -> None:
    metadata = METADATA._replace(architecture="fcos_atss_R_50", detector="FCOSATSS")
    with pytest.raises(CheckpointError, match=r"of fcos_atss_R_50, but .*All tensors fit, but"):
        check_converted(metadata, PLAIN, PLAIN, "x.pth", traits=ModelTraits("ATSS"))


def test_a_class_of_another_project_may_be_one_of_ours() -> None:
    check_converted(OF_PLAIN, PLAIN, PLAIN, "x.pth", traits=ModelTraits("VFNetWithMasks"))


def test_a_dropped_classifier_may_be_of_any_number_of_classes() -> None:
    dropped = OF_PLAIN._replace(classifier_dropped=True)
    check_converted(
        dropped,
        without(PLAIN, "head.cls_pred."),
        of_classes(PLAIN, 5),
        "x.pth",
        traits=ModelTraits("VFNet"),
    )


def test_without_its_classifier_a_file_must_fit_all_the_same() -> None:
    dropped = OF_PLAIN._replace(classifier_dropped=True)
    file = without(without(PLAIN, "head.cls_pred."), "head.box_pred")
    with pytest.raises(CheckpointError, match=r"as the model is, but does not fit it\. 2 tensors"):
        check_converted(dropped, file, PLAIN, "x.pth", traits=ModelTraits("VFNet"))


def test_a_shape_that_differs_is_shown() -> None:
    model = {**PLAIN, "head.box_pred.bias": (5,)}
    with pytest.raises(CheckpointError, match=r"of shape \(4,\) in the file and \(5,\) in the mod"):
        check_converted(OF_PLAIN, PLAIN, model, "x.pth", traits=ModelTraits("VFNet"))


class Prepared(nn.Module):
    """Has what a detector knows of its input."""

    def __init__(self, *, input_format: str, pixel_mean: list[float], pixel_std: list[float]):
        super().__init__()
        self.input_format = input_format
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1))
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1))


RIGHT = {
    "input_format": "RGB",
    "pixel_mean": [123.675, 116.28, 103.53],
    "pixel_std": [58.395, 57.12, 57.375],
}


def test_the_right_convention_is_no_warning() -> None:
    assert convention_warning(METADATA, Prepared(**RIGHT), "x.pth") is None


@pytest.mark.parametrize(
    "change",
    [{"input_format": "BGR"}, {"pixel_mean": [103.53, 116.28, 123.675]}, {"pixel_std": [1.0] * 3}],
)
def test_another_convention_is_a_warning_that_names_both(change: dict) -> None:
    values = {**RIGHT, **change}
    warning = convention_warning(METADATA, Prepared(**values), "x.pth")
    assert warning is not None
    theirs = f"x.pth needs images as {PUBLISHED_INPUT}, "
    ours = "{input_format}, mean {pixel_mean}, std {pixel_std}".format(**values)
    assert warning.startswith(f"{theirs}but the model is set to {ours}")
    assert "INPUT.FORMAT" in warning


def test_a_model_that_does_not_tell_is_not_warned_of() -> None:
    assert convention_warning(METADATA, nn.Linear(1, 1), "x.pth") is None


def test_complete() -> None:
    counters = ["bn.num_batches_tracked"]
    check_complete(nn.Linear(1, 1), missing=counters, unexpected=counters, path="x.pth")


@pytest.mark.parametrize(
    ("missing", "unexpected", "message"),
    [
        (["bias"], [], r"x\.pth does not fill 1 of the 2 tensors of Linear, first bias"),
        ([], ["offset"], r"x\.pth has 1 tensors that Linear lacks, first offset"),
    ],
)
def test_incomplete(missing: list[str], unexpected: list[str], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        check_complete(nn.Linear(1, 1), missing=missing, unexpected=unexpected, path="x.pth")
