"""Tests of vfnet_d2.inference.images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vfnet_d2.inference.images import ImageError, load_image

# Two rows of three pixels, all different.
PIXELS = (10 * np.arange(18, dtype=np.uint8)).reshape(2, 3, 3)
ORIENTATION = 0x0112


def rotated(folder: Path) -> Path:
    """A file that stores the pixels turned, with the EXIF orientation that puts them right."""
    # Orientation 6: turn by 90 degrees clockwise to see it upright.
    stored = Image.fromarray(np.rot90(PIXELS).copy())
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    stored.save(folder / "rotated.png", exif=exif)
    return folder / "rotated.png"


@pytest.mark.parametrize("kind", [str, Path, Image.open])
def test_exif_is_respected(kind, tmp_path: Path) -> None:
    found = load_image(kind(rotated(tmp_path)), input_format="RGB")
    assert np.array_equal(found, PIXELS)


@pytest.mark.parametrize("wanted", ["RGB", "BGR"])
@pytest.mark.parametrize("given", ["RGB", "BGR"])
def test_channel_order_of_arrays(wanted: str, given: str) -> None:
    array = PIXELS if given == "RGB" else PIXELS[:, :, ::-1]
    expected = PIXELS if wanted == "RGB" else PIXELS[:, :, ::-1]
    found = load_image(array, input_format=wanted, channel_order=given)
    assert np.array_equal(found, expected)
    assert found.flags["C_CONTIGUOUS"]


def test_files_in_the_order_of_the_model(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    found = load_image(tmp_path / "a.png", input_format="BGR")
    assert np.array_equal(found, PIXELS[:, :, ::-1])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "LA", "CMYK"])
def test_other_modes_become_three_channels(mode: str) -> None:
    grey = Image.new("L", (3, 2), 77).convert(mode)
    found = load_image(grey, input_format="RGB")
    assert found.shape == (2, 3, 3)
    assert np.abs(found.astype(int) - 77).max() <= 1


def test_an_array_without_its_order() -> None:
    with pytest.raises(ImageError, match='pass channel_order="RGB"'):
        load_image(PIXELS, input_format="RGB")


@pytest.mark.parametrize(
    "array", [PIXELS[:, :, 0], PIXELS / 255, PIXELS[:, :, :2], PIXELS[:0], PIXELS.astype(int)]
)
def test_arrays_of_another_kind(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"expected \(H, W, 3\) of uint8"):
        load_image(array, input_format="RGB", channel_order="RGB")


def test_no_such_file() -> None:
    with pytest.raises(FileNotFoundError, match=r"image none\.png does not exist"):
        load_image("none.png", input_format="RGB")


def test_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ImageError, match=r"half\.jpg cannot be read as an image: .*truncated"):
        load_image(path, input_format="RGB")


def test_no_image(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>")
    with pytest.raises(ImageError, match=r"page\.jpg cannot be .*: no image format"):
        load_image(tmp_path / "page.jpg", input_format="RGB")
