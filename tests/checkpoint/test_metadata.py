"""Tests of vfnet_d2.checkpoint.metadata."""

import json

import pytest

from tests.helpers.checkpoints import METADATA
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.metadata import (
    PUBLISHED_INPUT,
    InputConvention,
    Metadata,
    class_names_of,
    convention_of,
)

# How mmdet 2.x and 3.x write their configs into checkpoints.
CONFIG_2 = """img_norm_cfg = dict(
    mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], to_rgb=False)
train_pipeline = [dict(
        type='Normalize',
        mean=[103.53, 116.28, 123.675],
        std=[1.0, 1.0, 1.0],
        to_rgb=False)]
bbox_coder=dict(target_means=[0.0, 0.0, 0.0, 0.0])"""
CONFIG_3 = """model = dict(
    data_preprocessor=dict(
        bgr_to_rgb=True,
        mean=[
            123.675,
            116.28,
            103.53,
        ],
        std=[
            58.395,
            57.12,
            57.375,
        ]))"""


def test_survives_json() -> None:
    assert Metadata.from_dict(json.loads(json.dumps(METADATA.as_dict())), "a.pth") == METADATA


@pytest.mark.parametrize(
    "values", [None, {}, {**METADATA.as_dict(), "more": 1}, {"input_convention": {}}]
)
def test_what_another_version_wrote_is_refused(values: object) -> None:
    with pytest.raises(CheckpointError, match=r"'vfnet_d2' of a\.pth cannot be understood"):
        Metadata.from_dict(values, "a.pth")


def test_a_file_of_the_first_schema_is_read() -> None:
    values = METADATA.as_dict()
    for key in ("schema_version", "lazy_config", "num_classes_key", "classifiers"):
        del values[key]
    assert Metadata.from_dict(values, "a.pth") == METADATA


def test_a_newer_schema_is_refused_by_its_number() -> None:
    values = {**METADATA.as_dict(), "schema_version": 3, "something": "new"}
    expected = r"a\.pth is of schema version 3, and this vfnet_d2 reads versions up to 2.*Update"
    with pytest.raises(CheckpointError, match=expected):
        Metadata.from_dict(values, "a.pth")


def test_the_published_convention() -> None:
    assert PUBLISHED_INPUT[:3] == ("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def test_convention_of_mmdet_2() -> None:
    found = convention_of({"config": CONFIG_2})
    assert found[:3] == ("BGR", (103.53, 116.28, 123.675), (1.0, 1.0, 1.0))


def test_convention_of_mmdet_3() -> None:
    found = convention_of({"cfg": CONFIG_3})
    assert found[:3] == PUBLISHED_INPUT[:3]
    assert found.told_by == "the file's config"


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"cfg": object()},
        {"config": "model = dict()"},
        {"config": CONFIG_2 + "\nmean=[1.0, 2.0, 3.0]"},
        {"config": CONFIG_2 + "\nto_rgb=True"},
    ],
)
def test_without_one_clear_convention_it_is_the_published_one(meta: dict) -> None:
    assert convention_of(meta) == PUBLISHED_INPUT


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({}, False),
        ({"told_by": "somebody else"}, False),
        ({"pixel_mean": (123.675 + 5e-4, 116.28, 103.53)}, False),
        ({"input_format": "BGR"}, True),
        ({"pixel_mean": (103.53, 116.28, 123.675)}, True),
        ({"pixel_std": (1.0, 1.0, 1.0)}, True),
        ({"pixel_std": (58.395,)}, True),
    ],
)
def test_difference(changes: dict, differs: bool) -> None:
    assert PUBLISHED_INPUT.differs(PUBLISHED_INPUT._replace(**changes)) is differs


def test_text() -> None:
    convention = InputConvention("BGR", (103.53, 116.28, 123.67500305), (1.0, 1.0, 1.0), "x")
    assert str(convention) == "BGR, mean [103.53, 116.28, 123.675], std [1.0, 1.0, 1.0]"


@pytest.mark.parametrize(
    "meta",
    [
        {"CLASSES": ("cat", "dog")},
        {"dataset_meta": {"classes": ["cat", "dog"], "palette": []}},
        {"dataset_meta": {"CLASSES": ("cat", "dog")}},
    ],
)
def test_class_names(meta: dict) -> None:
    assert class_names_of(meta, 2) == ["cat", "dog"]


@pytest.mark.parametrize(
    "meta", [{}, {"CLASSES": None}, {"CLASSES": "ab"}, {"CLASSES": [1, 2]}, {"CLASSES": ["cat"]}]
)
def test_no_class_names_rather_than_wrong_ones(meta: dict) -> None:
    assert class_names_of(meta, 2) is None
