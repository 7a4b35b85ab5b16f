"""Broken Pascal VOC, YOLO and JSONL, and folders that cannot be opened."""

import json
from typing import Any

from tests.helpers.broken_case import Case, coco, encoded

A, B = encoded(10), encoded(200)
NO_CLASSES = ("no-classes", "the dataset names no classes")
NO_IMAGES = ("no-images", "there is no image that can be used")

# -- Pascal VOC ---------------------------------------------------------------------------------

SIZE = "<size><width>16</width><height>12</height><depth>3</depth></size>"
BOX = "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>6</xmax><ymax>8</ymax></bndbox>"
CAT = f"<object><name>cat</name>{BOX}</object>"


def voc_xml(name: str, objects: str, *, size: str = SIZE) -> str:
    """The text of an annotation file."""
    return f"<annotation>\n<filename>{name}</filename>\n{size}\n{objects}\n</annotation>\n"


def voc(second: str | bytes, *findings: tuple[str, ...], **more: Any) -> Case:
    """Two images; the second annotation file is this."""
    files = {
        "Annotations/a.xml": voc_xml("a.png", CAT),
        "Annotations/b.xml": second,
        "JPEGImages/a.png": A,
        "JPEGImages/b.png": B,
    }
    return Case({**files, **more}, findings)


def voc_object(item: str, *finding: str) -> Case:
    """The second file has this object."""
    return voc(voc_xml("b.png", item), finding)


ENTITIES = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">\n' for i in range(1, 10))
BOMB = f'<!DOCTYPE annotation [\n<!ENTITY l0 "lol">\n{ENTITIES}]>\n<annotation>&l9;</annotation>\n'
FOREIGN = (
    '<!DOCTYPE annotation [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n'
    "<annotation><filename>&x;</filename></annotation>\n"
)

VOC_CASES = {
    "voc_entity_bomb": voc(BOMB, ("xml-entities", "Annotations/b.xml", "not read any further")),
    "voc_foreign_entity": voc(FOREIGN, ("xml-entities", "Annotations/b.xml", "not read any")),
    "voc_not_xml": voc(
        "<annotation><object>", ("unreadable-annotations", "Annotations/b.xml", "not XML", "line 1")
    ),
    "voc_empty_file": voc("", ("unreadable-annotations", "b.xml", "no element found")),
    "voc_unknown_encoding": voc(
        '<?xml version="1.0" encoding="klingon"?>\n<annotation/>\n',
        ("unreadable-annotations", "Annotations/b.xml", "encoding"),
    ),
    "voc_other_root": voc(
        "<html><body/></html>", ("malformed-annotations", "b.xml", "<annotation>, got <html>")
    ),
    "voc_without_name": voc_object(
        f"<object>{BOX}</object>", "malformed-object", "b.xml, object 1", "it has no <name>"
    ),
    "voc_without_box": voc_object(
        "<object><name>cat</name></object>", "malformed-object", "object 1 ('cat')", "<bndbox>"
    ),
    "voc_box_of_text": voc_object(
        CAT.replace("<xmax>6", "<xmax>six"), "malformed-object", "must hold the numbers", "'six'"
    ),
    "voc_box_inverted": voc_object(
        CAT.replace("<xmax>6", "<xmax>1"), "box-inverted", "b.xml, object 1", "(2, 3, 1, 8)"
    ),
    "voc_box_without_area": voc_object(
        CAT.replace("<xmax>6", "<xmax>2"), "box-without-area", "b.xml, object 1", "0 x 5 pixels"
    ),
    "voc_box_outside_image": voc_object(
        CAT.replace("<xmax>6", "<xmax>20"), "box-outside-image", "reaches 4 pixels beyond"
    ),
    "voc_class_not_listed": voc(
        voc_xml("b.png", CAT.replace("cat", "dgo")),
        ("unknown-class", "b.xml, object 1 ('dgo')", "class 'dgo' is not one of: cat"),
        **{"classes.txt": "cat\n"},
    ),
    "voc_path_leaves_root": voc(
        voc_xml("../../../c.png", CAT),
        ("path-leaves-root", "c.xml, filename", "'../../../c.png'"),
        ("object-without-image", "c.xml, object 1", "it is left out"),
        **{
            "Annotations/b.xml": voc_xml("b.png", CAT),
            "Annotations/c.xml": voc_xml("../../../c.png", CAT),
        },
    ),
    "voc_image_without_xml": voc(
        voc_xml("b.png", CAT),
        ("left-out-file", "JPEGImages: c.png: no XML file belongs to it"),
        **{"JPEGImages/c.png": encoded(90)},
    ),
    "voc_missing_image": voc(
        voc_xml("c.png", CAT),
        ("missing-image", "JPEGImages/c.png", "named in", "Annotations/c.xml"),
        **{"Annotations/b.xml": voc_xml("b.png", CAT), "Annotations/c.xml": voc_xml("c.png", CAT)},
    ),
    "voc_wrong_size": voc(
        voc_xml("b.png", CAT, size=SIZE.replace("12", "16")),
        ("size-mismatch", "JPEGImages/b.png", "it is 16 x 12, the annotations say 16 x 16"),
    ),
    "voc_other_filename": voc(
        voc_xml("a.png", CAT),
        ("other-filename", "b.xml, filename", "'a.png'", "XML file's own name is taken"),
    ),
    "voc_filename_of_another": voc(
        voc_xml("b.png", CAT),
        ("ambiguous-image", "c.xml, filename", "no image is called c", "is that of", "a.xml"),
        ("object-without-image", "c.xml, object 1", "it is left out"),
        **{"Annotations/c.xml": voc_xml("a.png", CAT)},
    ),
    "voc_difficult_of_text": voc_object(
        CAT.replace("</name>", "</name><difficult>somewhat</difficult>"),
        "malformed-object",
        "b.xml, object 1",
        "<difficult> must be 0 or 1, got 'somewhat'",
    ),
    "voc_listed_file_missing": voc(
        voc_xml("b.png", CAT),
        ("unreadable-annotations", "train.txt, line 3", "'c' is listed", "does not exist"),
        **{"ImageSets/Main/train.txt": "a\nb\nc\n"},
    ),
}

# -- YOLO ---------------------------------------------------------------------------------------

NAMELESS = (
    NO_CLASSES,
    ("unknown-class", "labels/a.txt, line 1", "no class names are known"),
    ("no-objects", "2 images"),
)
YAML = "train: images\nnc: 2\nnames: [cat, dog]\n"
GOOD = "0 0.25 0.4 0.2 0.3\n1 0.6 0.6 0.3 0.3\n"


def yolo(line: str | bytes, *findings: tuple[str, ...], yaml: str | bytes = YAML) -> Case:
    """Two images; the labels of the second are this."""
    files = {
        "data.yaml": yaml,
        "images/a.png": A,
        "images/b.png": B,
        "labels/a.txt": GOOD,
        "labels/b.txt": line,
    }
    return Case(files, findings)


ALIASES = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]\n" for i in range(1, 9))
YAML_BOMB = f"l0: &l0 [lol]\n{ALIASES}train: images\npath: *l8\nnames: *l8\n"

YOLO_CASES = {
    "yolo_class_from_one": yolo(
        "2 0.5 0.5 0.2 0.2\n",
        ("unknown-class", "labels/b.txt, line 1", "class index 2, expected 0 to 1"),
    ),
    "yolo_class_of_text": yolo(
        "cat 0.5 0.5 0.2 0.2\n", ("malformed-object", "line 1", 'expected "class cx cy w h"')
    ),
    "yolo_four_columns": yolo(
        GOOD + "0 0.5 0.5 0.2\n",
        ("malformed-object", "labels/b.txt, line 3", "got '0 0.5 0.5 0.2'"),
    ),
    "yolo_odd_polygon": yolo(
        "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1\n", ("malformed-object", "line 1", "x1 y1 x2 y2 x3 y3")
    ),
    "yolo_keypoints_or_polygons": yolo(
        "0 0.3 0.4 0.2 0.4 0.25 0.4 0.3 0.5\n",
        ("ambiguous-labels", "labels/b.txt, line 1", "8 numbers", "kpt_shape"),
    ),
    "yolo_keypoints": yolo(
        "0 0.3 0.4 0.2 0.4 0.25 0.4 2 0.3 0.5 1\n",
        ("ignored-numbers", "b.txt, line 1", "a box, and keypoints"),
    ),
    "yolo_decimal_comma": yolo("0 0,5 0,5 0,2 0,2\n", ("malformed-object", "line 1", "'0 0,5")),
    "yolo_pixels": yolo(
        "0 8 6 4 4\n", ("box-not-normalised", "line 1", "from 0 to 1, got '0 8 6 4 4'")
    ),
    "yolo_nan": yolo("0 nan 0.5 0.2 0.2\n", ("box-not-finite", "labels/b.txt, line 1", "(nan, ")),
    "yolo_negative_width": yolo("0 0.5 0.5 -0.2 0.2\n", ("box-inverted", "line 1")),
    "yolo_without_area": yolo("0 0.5 0.5 0 0.5\n", ("box-without-area", "line 1", "0 x 6 pixels")),
    "yolo_box_off_image": yolo("0 1.5 0.5 0.2 0.2\n", ("box-off-image", "line 1")),
    "yolo_box_outside_image": yolo(
        "0 0.9 0.5 0.6 0.2\n", ("box-outside-image", "line 1", "reaches 3.2 pixels beyond")
    ),
    "yolo_labels_not_utf8": yolo(
        b"0 0.5 0.5 0.2 0.2\n\xff\xfe\n", ("unreadable-annotations", "labels/b.txt", "not UTF-8")
    ),
    "yolo_heic": Case(
        {"images/c.HEIC": "ftypheic", "labels/c.txt": GOOD, **yolo(GOOD).files},
        (
            ("left-out-file", "images: c.HEIC: not read as an image"),
            ("missing-image", "labels/c.txt", "there is no image", "but c.HEIC, which is no kind"),
        ),
    ),
    "yolo_labels_without_image": Case(
        {"labels/c.txt": GOOD, **yolo(GOOD).files},
        (("missing-image", "labels/c.txt", "there is no image", "images/c"),),
    ),
    "yolo_names_and_nc_differ": yolo(
        GOOD,
        ("malformed-annotations", "data.yaml, nc", "nc is 3, but there are 2 names"),
        yaml="train: images\nnc: 3\nnames: [cat, dog]\n",
    ),
    "yolo_names_with_a_gap": yolo(
        GOOD,
        ("malformed-annotations", "data.yaml, names", "indices 0 to 1, got ['0', '2']"),
        *NAMELESS,
        yaml="train: images\nnames: {0: cat, 2: dog}\n",
    ),
    "yolo_without_names": yolo(
        GOOD,
        ("malformed-annotations", "data.yaml, names", "names must be a list"),
        *NAMELESS,
        yaml="train: images\n",
    ),
    "yolo_name_twice": yolo(
        GOOD.replace("1 ", "0 "),
        ("duplicate-class", "class 'cat' has the indices 0 and 1"),
        ("empty-class", "class 'cat' has no object"),
        yaml="train: images\nnames: [cat, cat]\n",
    ),
    "yolo_yaml_damaged": yolo(
        GOOD,
        ("unreadable-annotations", "data.yaml", "not YAML at line 3, column 1"),
        NO_CLASSES,
        NO_IMAGES,
        yaml="train: images\nnames: [cat, dog\n",
    ),
    "yolo_yaml_bomb": yolo(
        GOOD,
        ("malformed-annotations", "data.yaml, names", "name 0 must be text, put in quotes"),
        ("moved-dataset", "data.yaml, path", "path must be a folder"),
        *NAMELESS,
        yaml=YAML_BOMB,
    ),
    "yolo_train_missing": yolo(
        GOOD,
        ("no-images", "data.yaml, train", "images/train does not exist"),
        NO_IMAGES,
        yaml="train: images/train\nnames: [cat, dog]\n",
    ),
    "yolo_train_leaves_root": yolo(
        GOOD,
        ("path-leaves-root", "data.yaml, train", "'../../../elsewhere' is not below the folder"),
        NO_IMAGES,
        yaml="train: ../../../elsewhere\nnames: [cat, dog]\n",
    ),
    "yolo_moved": yolo(
        GOOD,
        ("moved-dataset", "data.yaml, path", "'/content/my_data', no folder below"),
        yaml="path: /content/my_data\ntrain: images\nnames: [cat, dog]\n",
    ),
    "yolo_listed_image_missing": Case(
        {
            **yolo(GOOD, yaml="train: train.txt\nnames: [cat, dog]\n").files,
            "train.txt": "./images/a.png\n./images/c.png\n../../b.png\n",
        },
        (
            ("missing-image", "images/c.png", "there is no such file"),
            ("path-leaves-root", "train.txt, line 3", "'../../b.png'"),
        ),
    ),
    "yolo_unnamed_classes": Case(
        {name: text for name, text in yolo(GOOD).files.items() if name != "data.yaml"},
        (("unnamed-classes", "neither data.yaml nor classes.txt: named class_0"),),
    ),
}

# -- JSONL --------------------------------------------------------------------------------------

LABEL = {"label": "can", "topX": 0.2, "topY": 0.25, "bottomX": 0.5, "bottomY": 0.75, "isCrowd": 0}
DETAILS = {"format": "png", "width": "16px", "height": "12px"}
FIRST = {"image_url": "images/a.png", "image_details": DETAILS, "label": [LABEL]}


def jsonl(second: Any, *findings: tuple[str, ...]) -> Case:
    """Two images; the second line is this."""
    text = second if isinstance(second, str) else json.dumps(second)
    files = {
        "train.jsonl": f"{json.dumps(FIRST)}\n{text}\n",
        "images/a.png": A,
        "images/b.png": B,
    }
    return Case(files, findings)


def jsonl_label(label: Any, *finding: str) -> Case:
    """The second image has this object."""
    return jsonl({"image_url": "images/b.png", "label": [label]}, finding)


JSONL_CASES = {
    "jsonl_moved": jsonl(
        {"image_url": "C:\\Users\\me\\set\\images\\b.png", "label": [LABEL]},
        ("moved-path", "train.jsonl, line 2", "images/b.png"),
    ),
    "jsonl_other_spelling": jsonl(
        {"image_url": "images/B.PNG", "label": [LABEL]},
        ("other-spelling", "train.jsonl, line 2", "'images/B.PNG' is read as", "images/b.png"),
    ),
    "jsonl_cut_off": jsonl(
        '{"image_url": "images/b.png", "label": [', ("unreadable-annotations", "line 2", "not JSON")
    ),
    "jsonl_without_url": jsonl(
        {"label": [LABEL]}, ("malformed-image", "train.jsonl, line 2", "with image_url")
    ),
    "jsonl_of_texts": jsonl('"images/b.png"', ("malformed-image", "line 2", "with image_url")),
    "jsonl_of_classification": jsonl(
        {"image_url": "images/b.png", "label": "can"},
        ("malformed-image", "line 2", "label must be a list of objects, got 'can'"),
    ),
    "jsonl_unknown_image": jsonl(
        {**FIRST, "image_url": "AmlDatastore://store/fridge/c.png"},
        ("missing-image", "fridge/c.png", "line 2"),
    ),
    "jsonl_path_leaves_root": jsonl(
        {**FIRST, "image_url": "../../b.png"},
        ("path-leaves-root", "line 2", "'../../b.png'"),
        ("object-without-image", "line 2, object 1", "it is left out"),
    ),
    "jsonl_wrong_size": jsonl(
        {**FIRST, "image_url": "images/b.png", "image_details": {"width": "32px", "height": 24}},
        ("size-mismatch", "images/b.png", "it is 16 x 12, the annotations say 32 x 24"),
    ),
    "jsonl_size_of_text": jsonl(
        {**FIRST, "image_url": "images/b.png", "image_details": {"width": "wide", "height": "1cm"}},
        ("malformed-image", "line 2", "like 499 or '499px'"),
    ),
    "jsonl_without_corner": jsonl_label(
        {"label": "can", "topX": 0.1, "topY": 0.1, "bottomX": 0.5},
        "malformed-object",
        "line 2, label 1",
        "must be numbers",
    ),
    "jsonl_label_of_text": jsonl_label("can", "malformed-object", "line 2, label 1", "got 'can'"),
    "jsonl_pixels": jsonl_label(
        {**LABEL, "bottomX": 8, "bottomY": 9}, "box-not-normalised", "line 2, label 1", "0 to 1"
    ),
    "jsonl_inverted": jsonl_label({**LABEL, "topX": 0.9}, "box-inverted", "line 2, label 1"),
    "jsonl_crowd_of_text": jsonl_label(
        {**LABEL, "isCrowd": "maybe"}, "malformed-object", "line 2, label 1", "isCrowd must be"
    ),
}

# -- opening ------------------------------------------------------------------------------------

OPENING_CASES = {
    "folder_of_nothing": Case(
        {"readme.md": "nothing here\n"},
        error=("does not look like a dataset", "coco: a .json file", "yolo: a data.yaml"),
    ),
    "folder_of_two_formats": Case(
        {"annotations.json": coco(), "train.jsonl": json.dumps(FIRST) + "\n", "images/a.png": A},
        error=("looks like coco and jsonl", "--format"),
    ),
    "folder_of_another_format": Case(
        {"train.jsonl": json.dumps(FIRST) + "\n"},
        options={"format_name": "voc"},
        error=("does not look like a dataset", "voc: a folder with Annotations"),
    ),
}
