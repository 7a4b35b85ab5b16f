"""Tests of vfnet_d2.data.formats.voc."""

from pathlib import Path

import pytest
from detectron2.data.datasets.pascal_voc import load_voc_instances
from detectron2.structures import BoxMode

from tests.helpers.small_datasets import boxes_of, read, save_image, write_files
from vfnet_d2.data.formats.opening import open_dataset, open_splits


def xml(
    *objects: tuple[str, str], filename: str = "a.jpg", size: tuple[int, int] = (100, 50)
) -> str:
    """An annotation file; an object is its name and what stands beside it."""
    items = "".join(f"<object><name>{name}</name>{rest}</object>" for name, rest in objects)
    measures = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    return f"<annotation><filename>{filename}</filename>{measures}{items}</annotation>"


def box(xmin: object, ymin: object, xmax: object, ymax: object) -> str:
    return (
        f"<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin>"
        f"<xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox>"
    )


def test_boxes_are_those_of_detectron2(tmp_path: Path) -> None:
    objects = [("dog", box(1, 1, 100, 50)), ("cat", box(12, 5, 30, 33))]
    text = xml(*objects).replace("</size>", "<depth>3</depth></size>")
    write_files(tmp_path, {"Annotations/a.xml": text, "ImageSets/Main/train.txt": "a\nb\n"})
    write_files(tmp_path, {"Annotations/b.xml": text.replace("a.jpg", "b.jpg")})
    for name in "ab":
        save_image(tmp_path / "JPEGImages" / f"{name}.jpg")
    (expected, _) = load_voc_instances(str(tmp_path), "train", ["cat", "dog"])
    reader = open_dataset(tmp_path)
    (item, _), _ = read(reader)
    assert reader.classes == ("cat", "dog")
    assert item.path == expected["file_name"]
    assert (item.width, item.height) == (expected["width"], expected["height"])
    assert all(a["bbox_mode"] == BoxMode.XYXY_ABS for a in expected["annotations"])
    assert [(list(a.box), a.class_index) for a in item.annotations] == [
        (a["bbox"], a["category_id"]) for a in expected["annotations"]
    ]


@pytest.mark.parametrize(("flag", "crowd"), [("1", True), ("0", False), (" 1 ", True)])
def test_difficult_objects_are_crowds(tmp_path: Path, flag: str, crowd: bool) -> None:
    text = xml(("cat", f"{box(2, 3, 4, 5)}<difficult>{flag}</difficult>"))
    (item,), _ = read(open_dataset(write_files(tmp_path, {"a.xml": text})))
    assert [a.iscrowd for a in item.annotations] == [crowd]


def test_coordinates_may_be_fractions(tmp_path: Path) -> None:
    text = xml(("cat", box("2.5", "3", "4.25", "5e0")))
    records, _ = read(open_dataset(write_files(tmp_path, {"a.xml": text})))
    assert boxes_of(records) == [[(1.5, 2.0, 4.25, 5.0)]]


def test_parts_of_objects_are_no_objects(tmp_path: Path) -> None:
    part = f"<part><name>head</name>{box(1, 1, 2, 2)}</part>"
    text = xml(("cat", f"{part}{box(2, 3, 4, 5)}"))
    reader = open_dataset(write_files(tmp_path, {"a.xml": text}))
    records, _ = read(reader)
    assert reader.classes == ("cat",)
    assert boxes_of(records) == [[(1.0, 2.0, 4.0, 5.0)]]


def test_a_size_of_zero_is_read_from_the_image(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.xml": xml(size=(0, 0))})
    save_image(tmp_path / "a.jpg", size=(30, 20))
    (item,), _ = read(open_dataset(tmp_path))
    assert (item.width, item.height) == (30, 20)


def test_an_image_is_also_found_by_the_name_of_its_file(tmp_path: Path) -> None:
    write_files(tmp_path, {"Annotations/renamed.xml": xml(filename="IMG_1.jpg")})
    save_image(tmp_path / "JPEGImages" / "renamed.png")
    (item,), _ = read(open_dataset(tmp_path))
    assert Path(item.path) == tmp_path / "JPEGImages" / "renamed.png"


def test_lists_of_images_are_splits(tmp_path: Path) -> None:
    names = "abc"
    write_files(tmp_path, {f"Annotations/{n}.xml": xml(filename=f"{n}.jpg") for n in names})
    lists = {"train": "a\n", "val": "b\n", "trainval": "a\nb\n", "cat_train": "a 1\n"}
    write_files(tmp_path, {f"ImageSets/Main/{name}.txt": text for name, text in lists.items()})
    assert list(open_splits(tmp_path)) == ["train", "val"]
    (item,), _ = read(open_dataset(tmp_path, split="val"))
    assert Path(item.file).name == "b.xml"


@pytest.mark.parametrize(
    "folders", [("train/", "valid/"), ("train/Annotations/", "valid/Annotations/")]
)
def test_folders_of_splits_share_their_classes(tmp_path: Path, folders: tuple[str, str]) -> None:
    write_files(
        tmp_path,
        {
            f"{folders[0]}a.xml": xml(("dog", box(1, 1, 2, 2))),
            f"{folders[1]}b.xml": xml(("cat", box(1, 1, 2, 2)), filename="b.jpg"),
        },
    )
    readers = open_splits(tmp_path)
    assert list(readers) == ["train", "valid"]
    assert {reader.classes for reader in readers.values()} == {("cat", "dog")}


def test_a_list_of_classes_decides_their_order(tmp_path: Path) -> None:
    files = {"a.xml": xml(("cat", box(1, 1, 2, 2))), "classes.txt": "dog\ncat\n\n"}
    reader = open_dataset(write_files(tmp_path, files))
    (item,), _ = read(reader)
    assert reader.classes == ("dog", "cat")
    assert item.annotations[0].class_index == 1


@pytest.mark.parametrize("names", [("2", "3", "4", "1"), ("1", "1", "1", "1"), ("x", "y", "z", "")])
@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".png"])
def test_an_xml_file_belongs_to_the_image_of_its_name(
    tmp_path: Path, names: tuple[str, ...], suffix: str
) -> None:
    for number, name in enumerate(names, start=1):
        text = xml(filename=f"{name}{suffix}" if name else "")
        write_files(tmp_path, {f"Annotations/{number}.xml": text})
        save_image(tmp_path / "JPEGImages" / f"{number}{suffix}")
    records, findings = read(open_dataset(tmp_path))
    pairs = [(Path(item.file).stem, Path(item.path).stem) for item in records]
    assert pairs == [(str(n), str(n)) for n in range(1, 5)]
    wrong = [f"{n}.xml" for n, name in enumerate(names, start=1) if name not in ("", str(n))]
    found = [Path(f.file).name for f in findings if f.code == "other-filename"]
    assert found == wrong


def test_two_xml_files_cannot_share_an_image(tmp_path: Path) -> None:
    write_files(tmp_path, {f"Annotations/{n}.xml": xml(filename="photo.jpg") for n in "ab"})
    save_image(tmp_path / "JPEGImages" / "photo.jpg")
    (item,), findings = read(open_dataset(tmp_path))
    assert Path(item.file).name == "a.xml"
    codes = [(f.code, Path(f.file).name) for f in findings if f.code != "no-classes"]
    assert codes == [("ambiguous-image", "b.xml"), ("other-filename", "a.xml")]


def test_folders_of_xml_files_are_those_of_the_images(tmp_path: Path) -> None:
    for folder, name in (("day", "dog"), ("night", "cat")):
        text = xml((name, box(1, 1, 9, 9)), filename="1.jpg")
        write_files(tmp_path, {f"Annotations/{folder}/1.xml": text})
        save_image(tmp_path / "JPEGImages" / folder / "1.jpg")
    save_image(tmp_path / "JPEGImages" / "1.jpg")
    reader = open_dataset(tmp_path)
    records, findings = read(reader)
    assert [str(f).rpartition("JPEGImages")[2] for f in findings] == [
        ": 1.jpg: no XML file belongs to it"
    ]
    assert [
        (Path(item.path).parent.name, reader.classes[item.annotations[0].class_index])
        for item in records
    ] == [("day", "dog"), ("night", "cat")]
