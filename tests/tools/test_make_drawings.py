"""Tests of tools/make_drawings.py: what it writes, checked by the package's own reader and eyes."""

import random
from pathlib import Path

import make_drawings
import numpy as np
import pytest
from doodles import DOODLES, Stroke, polygon
from PIL import Image, ImageDraw

from vfnet_d2.check.run import check_dataset
from vfnet_d2.data.formats.opening import open_splits


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of eight pictures."""
    folder = tmp_path_factory.mktemp("drawings")
    make_drawings.write_drawings(folder, train=6, val=2, seed=0)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Everything in a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_data_check_finds_nothing_wrong(drawings: Path) -> None:
    report = check_dataset(open_splits(drawings))
    assert {name: len(split.records) for name, split in report.splits.items()} == {
        "train": 6,
        "val": 2,
    }
    harmless = {"empty-class", "class-only-in-train"}  # eight pictures may lack a class
    assert {finding.code for finding in report.findings} <= harmless
    assert report.splits["train"].reader.classes == tuple(DOODLES)


def test_the_seed_decides(drawings: Path, tmp_path: Path) -> None:
    make_drawings.write_drawings(tmp_path / "same", train=6, val=2, seed=0)
    make_drawings.write_drawings(tmp_path / "other", train=6, val=2, seed=1)
    assert content(tmp_path / "same") == content(drawings)
    assert (
        content(tmp_path / "other")["images/val/000.jpg"] != content(drawings)["images/val/000.jpg"]
    )


def test_more_pictures_leave_the_first_as_they_are(drawings: Path, tmp_path: Path) -> None:
    make_drawings.write_drawings(tmp_path / "few", train=2, val=0, seed=0)
    few = content(tmp_path / "few")
    assert few["images/train/001.jpg"] == content(drawings)["images/train/001.jpg"]


@pytest.mark.parametrize("name", DOODLES)
def test_a_box_is_that_of_the_ink(name: str) -> None:
    rng = random.Random(3)
    strokes = make_drawings.place(DOODLES[name](rng), rng, size=90, at=(100, 100))
    zoom, pen = make_drawings.ZOOM, 2.0
    page = Image.new("RGB", (200 * zoom, 200 * zoom), "white")
    make_drawings.ink(ImageDraw.Draw(page), strokes, rng, pen)
    rows, columns = np.nonzero((np.asarray(page) != 255).any(axis=2))
    seen = [columns.min() / zoom, rows.min() / zoom, columns.max() / zoom, rows.max() / zoom]
    # The ends of a stroke are cut straight, so that half a pen may be missing, and a pixel.
    assert make_drawings.bounds(strokes, pen) == pytest.approx(seen, abs=pen / 2 + 1)


def test_a_label_line() -> None:
    # The box from (30, 60) to (90, 180) on 300 x 240 pixels: centre (60, 120), 60 x 120.
    line = make_drawings.label_line("sun", (30, 60, 90, 180), (300, 240))
    assert line == "2 0.200000 0.500000 0.200000 0.500000"


def test_overlap() -> None:
    # 5 x 10 of the smaller one's 10 x 10.
    assert make_drawings.overlap((0, 0, 10, 10), (5, -20, 40, 20)) == 0.5
    assert make_drawings.overlap((0, 0, 10, 10), (20, 0, 30, 10)) == 0


def test_a_hand_stays_near_its_line() -> None:
    square = polygon((-1, -1), (1, -1), (1, 1), (-1, 1))
    drawn = make_drawings.by_hand(square, random.Random(0), shake=0.02)
    # Three waves of a spread of 0.02 each; six spreads are far.
    assert all(abs(max(abs(x), abs(y)) - 1) < 6 * 3 * 0.02 for x, y in drawn)
    assert len(drawn) == 4 * 40 + 1  # sides of 2 in pieces of 0.05, and the end


def test_strokes_are_filled_only_where_they_are_closed() -> None:
    for kind in DOODLES.values():
        for stroke in kind(random.Random(1)):
            assert isinstance(stroke, Stroke)
            if stroke.filled:
                assert stroke.points[0] == pytest.approx(stroke.points[-1], abs=0.05)


def test_a_full_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.setattr("sys.argv", ["make_drawings.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="is not empty: name another folder"):
        make_drawings.main()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_command_says_what_it_drew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "new"
    options = ["make_drawings.py", str(folder), "--train", "1", "--val", "1"]
    monkeypatch.setattr("sys.argv", options)
    make_drawings.main()
    assert capsys.readouterr().out == f"Drew 1 and 1 pictures into {folder}.\n"
