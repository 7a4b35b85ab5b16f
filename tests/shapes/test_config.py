"""Tests of vfnet_d2.shapes.config."""

from typing import Any

import pytest

from vfnet_d2.shapes.config import ShapesConfig


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_images", 0),
        ("num_images", 2.5),
        ("seed", -1),
        ("image_size", 8),
        ("objects_per_image", 0),
        ("empty_fraction", -0.1),
        ("crowd_fraction", 1.1),
        ("min_side", 29),  # above the median
        ("median_side", float("nan")),
        ("max_side", 161),  # wider than the image
        ("contrast", 0),
        ("texture", -1),
        ("overlap", 2),
        ("max_hidden", 1),
    ],
)
def test_value_out_of_range_is_named(name: str, value: float) -> None:
    arguments: dict[str, Any] = {"num_images": 1, "seed": 0, name: value}
    with pytest.raises(ValueError, match=f"{name}={value}"):
        ShapesConfig(**arguments)


def test_shares_that_exceed_one_are_named() -> None:
    with pytest.raises(ValueError, match=r"empty_fraction=0.6 and crowd_fraction=0.5"):
        ShapesConfig(num_images=1, seed=0, empty_fraction=0.6, crowd_fraction=0.5)
