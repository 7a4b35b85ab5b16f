"""Tests of vfnet_d2.data.formats.paths, and that all readers find images through it."""

import json
import os
import unicodedata
from pathlib import Path

import pytest

from tests.helpers.small_datasets import read, save_image, write_files
from vfnet_d2.data.formats.opening import open_dataset
from vfnet_d2.data.formats.paths import Resolver

BOX = (
    "<object><name>cat</name><bndbox><xmin>11</xmin><ymin>11</ymin><xmax>30</xmax>"
    "<ymax>40</ymax></bndbox></object>"
)


def write(folder: Path, format_name: str, home: str, name: str, written: str) -> Path:
    """A dataset of one image, with a box of (10, 10, 30, 40), whose path is written like this."""
    save_image(folder / home / name, size=(100, 50))
    if format_name == "yolo":
        label = Path(home.replace("images", "labels"), name).with_suffix(".txt")
        yaml = "train: train.txt\nnames: [cat]\n"
        files = {"data.yaml": yaml, "train.txt": f"{written}\n", str(label): "0 .2 .5 .2 .6\n"}
        write_files(folder, files)
    elif format_name == "coco":
        image = {"id": 1, "file_name": written, "width": 100, "height": 50}
        box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 30]}
        content = {
            "images": [image],
            "annotations": [{**box, "area": 600, "iscrowd": 0}],
            "categories": [{"id": 1, "name": "cat"}],
        }
        write_files(folder, {"annotations.json": content})
    elif format_name == "jsonl":
        box = {"label": "cat", "topX": 0.1, "topY": 0.2, "bottomX": 0.3, "bottomY": 0.8}
        write_files(folder, {"train.jsonl": json.dumps({"image_url": written, "label": [box]})})
    else:
        text = f"<annotation><filename>{written}</filename>{BOX}</annotation>"
        write_files(folder, {f"Annotations/{Path(name).with_suffix('.xml')}": text})
    return folder


NFC, NFD = (unicodedata.normalize(form, "Äpfel é.jpg") for form in ("NFC", "NFD"))
# Name of the file, and ways to write it, in which {set} is the dataset's folder.
WAYS = {
    "plain": ("a.jpg", "images/a.jpg", ""),
    "point": ("a.jpg", "./images/a.jpg", ""),
    "up and down": ("a.jpg", "images/../images/a.jpg", ""),
    "absolute": ("a.jpg", "{set}/images/a.jpg", ""),
    "windows": ("a.jpg", "images\\a.jpg", ""),
    "blanks": ("a b.jpg", "images/a b.jpg", ""),
    "hash": ("a #1.jpg", "images/a #1.jpg", ""),
    "percent kept": ("a%20b.jpg", "images/a%20b.jpg", ""),
    "folders": ("x/y/a.jpg", "images/x/y/a.jpg", ""),
    "percent": ("a b.jpg", "images/a%20b.jpg", "other-spelling"),
    "case": ("a.JPG", "Images/A.jpg", "other-spelling"),
    "composed": (NFD, f"images/{NFC}", "other-spelling"),
    "decomposed": (NFC, f"images/{NFD}", "other-spelling"),
    "drive": ("a.jpg", "C:\\Users\\me\\set\\images\\a.jpg", "moved-path"),
    "server": ("a.jpg", "\\\\server\\share\\set\\images\\a.jpg", "moved-path"),
    "other machine": ("a.jpg", "/content/set/images/a.jpg", "moved-path"),
    "repository": ("a.jpg", "data/custom/images/a.jpg", "moved-path"),
}


@pytest.mark.parametrize("opened", ["relative", "absolute", "linked", "below images"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("format_name", ["coco", "voc", "yolo", "jsonl"])
def test_every_format_finds_the_image(
    format_name: str, way: str, opened: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, written, code = WAYS[way]
    home = "JPEGImages" if format_name == "voc" else "images"
    folder = tmp_path / ("images" if opened == "below images" else "x") / "set"
    written = written.replace("{set}", str(folder)).replace("images", home)
    write(folder, format_name, home, name, written)
    if opened == "linked":
        (tmp_path / "link").symlink_to(folder)
        folder = tmp_path / "link"
    monkeypatch.chdir(tmp_path)
    reader = open_dataset(os.path.relpath(folder) if opened == "relative" else folder)
    (record,), findings = read(reader)
    assert os.path.samefile(record.path, folder / home / name)
    assert [a.box for a in record.annotations] == [pytest.approx((10, 10, 30, 40))]
    # A VOC file's own name is what counts, so other folders in <filename> say nothing.
    silent = format_name == "voc" and code == "moved-path"
    codes = [f.code for f in findings]
    if format_name == "voc" and code == "other-spelling":
        assert codes in ([], ["other-filename"], ["other-spelling"])
    else:
        assert codes == ([] if silent or not code else [code])


@pytest.mark.parametrize("format_name", ["coco", "yolo", "jsonl"])
def test_two_names_are_not_taken_for_one_image(format_name: str, tmp_path: Path) -> None:
    # /a/1.jpg and /b/1.jpg were two images; the dataset has one 1.jpg.
    folder = write(tmp_path, format_name, "images", "1.jpg", "/a/1.jpg")
    files = {"coco": "annotations.json", "yolo": "train.txt", "jsonl": "train.jsonl"}
    file = folder / files[format_name]
    if format_name == "coco":
        content = json.loads(file.read_text())
        content["images"].append({**content["images"][0], "id": 2, "file_name": "/b/1.jpg"})
        file.write_text(json.dumps(content))
    else:
        text = file.read_text().strip()
        file.write_text(f"{text}\n{text.replace('/a/', '/b/')}\n")
    if format_name == "yolo":  # lists are relative to themselves, so the image stands beside it
        (folder / "images" / "1.jpg").rename(folder / "1.jpg")
    records, findings = read(open_dataset(folder))
    assert len(records) == 1
    codes = {f.code for f in findings if f.severity == "error"}
    assert codes - {"object-without-image"} == {"ambiguous-image"}


@pytest.mark.parametrize("format_name", ["coco", "voc", "yolo", "jsonl"])
@pytest.mark.parametrize("written", ["../secret.jpg", "../../x/secret.jpg", "{out}/secret.jpg"])
def test_no_format_leaves_the_dataset(format_name: str, written: str, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "x", tmp_path / "x" / "y"):
        save_image(place / "secret.jpg")
    written = written.replace("{out}", str(tmp_path))
    folder = write(tmp_path / "x" / "y" / "set", format_name, "images", "a.jpg", written)
    (folder / "images" / "a.jpg").unlink()
    records, findings = read(open_dataset(folder))
    # ../secret.jpg may also mean set/secret.jpg, which is missing.
    assert not any(Path(record.path).exists() for record in records)
    assert records or "path-leaves-root" in [f.code for f in findings]


@pytest.mark.parametrize("form", ["train: train.txt", "train: ./train.txt", "train: [train.txt]"])
@pytest.mark.parametrize("line", ["./images/a.jpg", "images/a.jpg", "set/images/a.jpg"])
def test_lists_read_alike_from_everywhere(
    form: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "set", "yolo", "images", "a.jpg", line)
    (folder / "data.yaml").write_text(f"{form}\nnames: [cat]\n")
    found = []
    for here, path in ((tmp_path, "set"), (tmp_path, folder), (folder, "."), (tmp_path, "./set")):
        monkeypatch.chdir(here)
        records, findings = read(open_dataset(path))
        assert [f for f in findings if f.severity == "error"] == []
        found.append([(os.path.realpath(r.path), len(r.annotations)) for r in records])
    assert found == [[(str(folder / "images" / "a.jpg"), 1)]] * 4


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("A.jpg", ["a.jpg", "a.JPG"], "missing"),  # which of the two?
        ("a.jpg", ["b/a.jpg"], "missing"),  # a bare name is not looked for in other folders
        ("c/a.jpg", ["a.jpg"], "missing"),  # nor does a folder get lost
        ("c/b/a.jpg", ["b/a.jpg"], "end"),
        ("../b/a.jpg", ["b/a.jpg"], "end"),
        ("../a.jpg", ["b/a.jpg"], "outside"),
        ("/a.jpg", ["b/a.jpg"], "outside"),
        ("a\0.jpg", ["a.jpg"], "outside"),
        ("x" * 5000, ["a.jpg"], "missing"),
        ("https://host:x[/a.jpg", ["a.jpg"], "as named"),
        ("https://host/a%231.jpg?sv=1", ["a#1.jpg"], "as named"),
        ("s3://bucket/a#1.jpg", ["a#1.jpg"], "as named"),
        ("file:///elsewhere/a.jpg", ["a.jpg"], "as named"),
    ],
)
def test_what_is_found_and_how(name: str, files: list[str], expected: str, tmp_path: Path) -> None:
    write_files(tmp_path / "root", dict.fromkeys(files, ""))
    write_files(tmp_path, {"a.jpg": ""})
    home = tmp_path / "root"
    assert Resolver([home]).find(name, [home]).how == expected


def test_a_path_past_a_link_stays_in_the_same_folder(tmp_path: Path) -> None:
    write_files(tmp_path, {"real/a.jpg": ""})
    (tmp_path / "link").symlink_to(tmp_path / "real")
    home = tmp_path / "link"
    found = Resolver([home]).find(str(tmp_path / "real" / "a.jpg"), [home])
    assert found == (tmp_path / "real" / "a.jpg", "as named")
