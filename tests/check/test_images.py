"""Tests of vfnet_d2.check.images; what broken files give is in test_broken.py."""

from pathlib import Path

import pytest
from detectron2.data import detection_utils

from tests.helpers.small_datasets import record, save_image
from vfnet_d2.check.images import (
    ImageFacts,
    image_findings,
    inspect_image,
    inspect_images,
)


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_those_that_detectron2_reads(
    tmp_path: Path, orientation: int, decode: bool
) -> None:
    path = str(save_image(tmp_path / "a.jpg", size=(40, 30), orientation=orientation))
    facts = inspect_image(path, decode=decode)
    height, width = detection_utils.read_image(path, format="RGB").shape[:2]
    assert (facts.stored, facts.upright) == ((40, 30), (width, height))
    assert (facts.orientation, facts.problem) == (orientation, None)


def test_headers_alone_show_no_damage_in_the_pixels(tmp_path: Path) -> None:
    path = save_image(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:-40])
    assert inspect_image(str(path), decode=False).problem is None
    assert inspect_image(str(path), decode=True).problem is not None


def test_equal_files_have_equal_digests(tmp_path: Path) -> None:
    sizes = ((40, 30), (40, 30), (40, 31))
    paths = [save_image(tmp_path / f"{i}.png", size=size) for i, size in enumerate(sizes)]
    first, second, third = (inspect_image(str(path), decode=True).digest for path in paths)
    assert first == second != third


def test_many_workers_find_the_same_in_the_same_order(tmp_path: Path) -> None:
    paths = [str(save_image(tmp_path / f"{i}.png", size=(i + 1, 5))) for i in range(20)]
    paths.insert(7, str(tmp_path / "missing.png"))
    one = inspect_images(paths, decode=True, workers=1)
    assert inspect_images(paths, decode=True, workers=4) == one
    assert [facts.stored[0] for facts in one] == [*range(1, 8), 0, *range(8, 21)]


def test_a_square_turned_image_is_only_doubtful() -> None:
    facts = ImageFacts(stored=(50, 50), orientation=6)
    findings = list(image_findings(record(size=(50, 50)), facts))
    assert [finding.code for finding in findings] == ["exif-rotated"]


def test_a_size_that_is_neither_stored_nor_upright() -> None:
    facts = ImageFacts(stored=(40, 30), orientation=6)
    (finding,) = image_findings(record(size=(10, 10)), facts)
    assert finding.code == "size-mismatch"
    assert "it is 30 x 40, the annotations say 10 x 10" in finding.cause
