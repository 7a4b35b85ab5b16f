"""Broken COCO JSON."""

from typing import Any

from tests.helpers.broken_case import Case, coco, coco_box, coco_image, encoded

A = encoded(10)
IMAGES = {"images/a.png": A}


def case(content: Any, *findings: tuple[str, ...]) -> Case:
    """A dataset of one image with this content of annotations.json."""
    return Case({"annotations.json": content, **IMAGES}, findings)


def box_case(bbox: Any, *finding: str) -> Case:
    """A second annotation, number 7, has this box."""
    return case(coco(annotations=[coco_box(1), coco_box(7, bbox=bbox)]), finding)


def image_case(entry: Any, *findings: tuple[str, ...]) -> Case:
    """A second image has this entry."""
    return case(coco(images=[coco_image(1, "a.png"), entry]), *findings)


NO_CLASSES = ("no-classes", "the dataset names no classes")
NO_IMAGES = ("no-images", "there is no image that can be used")
FILE = "annotations.json"

COCO_CASES = {
    "coco_not_json": case(
        "images: none\n",
        ("unreadable-annotations", FILE, "not JSON", "line 1, column 1"),
        NO_CLASSES,
        NO_IMAGES,
    ),
    "coco_cut_off": case(
        '{"images": [],\n "annotations": [',
        ("unreadable-annotations", FILE, "not JSON", "line 2"),
        NO_CLASSES,
        NO_IMAGES,
    ),
    "coco_deeply_nested": case(
        '{"images": ' + "[" * 30_000,
        ("unreadable-annotations", FILE, "JSON"),
        NO_CLASSES,
        NO_IMAGES,
    ),
    "coco_not_utf8": Case(
        {"annotations.json": '{"images": [], "päge": 1}'.encode("latin-1"), **IMAGES},
        (
            ("unreadable-annotations", FILE, "not UTF-8", "0xe4 at position 17"),
            NO_CLASSES,
            NO_IMAGES,
        ),
    ),
    "coco_of_detections": case(
        [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}],
        ("malformed-annotations", FILE, "expected an object with the lists images"),
        NO_CLASSES,
        NO_IMAGES,
    ),
    "coco_without_categories": case(
        {"images": [], "annotations": []},
        ("malformed-annotations", FILE, "categories, got ['images', 'annotations']"),
        NO_CLASSES,
        NO_IMAGES,
    ),
    "coco_no_images": case(coco(images=[], annotations=[]), NO_IMAGES),
    "coco_no_objects": case(coco(annotations=[]), ("no-objects", "1 images")),
    "coco_empty_class": case(
        coco(categories=[{"id": 1, "name": "cat"}, {"id": 2, "name": "dgo"}]),
        ("empty-class", "class 'dgo' has no object"),
    ),
    "coco_sparse_category_ids": case(
        coco(
            annotations=[coco_box(1), coco_box(2, category_id=5, bbox=[8, 1, 3, 3])],
            categories=[{"id": 1, "name": "cat"}, {"id": 5, "name": "dog"}],
        ),
        ("sparse-category-ids", FILE, "2 categories have ids from 1 to 5"),
    ),
    "coco_category_id_twice": case(
        coco(categories=[{"id": 1, "name": "cat"}, {"id": 1, "name": "cat"}]),
        ("duplicate-id", "category number 2", "category id 1 again"),
    ),
    "coco_class_name_twice": case(
        coco(categories=[{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}]),
        ("duplicate-class", "class 'cat' has the indices 0 and 1"),
        ("empty-class", "class 'cat' has no object"),
    ),
    "coco_category_without_name": case(
        coco(categories=[{"id": 1, "name": "cat"}, {"id": 2}]),
        ("malformed-annotations", "category number 2", "expected a whole number id and a name"),
    ),
    "coco_image_id_twice": image_case(
        coco_image(1, "b.png"), ("duplicate-id", "image 1", "id of 'a.png' again, for 'b.png'")
    ),
    "coco_image_without_name": image_case(
        {"id": 2, "width": 16, "height": 12},
        ("malformed-image", "image number 2", "expected a whole number id and a file_name"),
    ),
    "coco_image_size_of_text": image_case(
        coco_image(2, "b.png", width="wide"),
        ("malformed-image", "image 2", "positive whole numbers, got ('wide', 12)"),
    ),
    "coco_path_leaves_root": image_case(
        coco_image(2, "../../../secret.png"),
        ("path-leaves-root", "image 2", "'../../../secret.png' is not below the folder"),
    ),
    "coco_absolute_path": image_case(
        coco_image(2, "/etc/passwd"), ("path-leaves-root", "image 2", "'/etc/passwd' is not below")
    ),
    "coco_missing_image": image_case(
        coco_image(2, "b.png"), ("missing-image", "images/b.png", "image 2", "no such file")
    ),
    "coco_other_suffix": image_case(
        coco_image(2, "a.jpg"), ("missing-image", "images/a.jpg", "no such file, but a.png")
    ),
    "coco_missing_folder": image_case(
        coco_image(2, "day2/b.png"), ("missing-image", "images/day2 does not exist")
    ),
    "coco_image_listed_twice": image_case(
        coco_image(2, "a.png"), ("duplicate-image", "images/a.png, image 2", "listed again")
    ),
    "coco_wrong_size": case(
        coco(images=[coco_image(1, "a.png", width=32, height=24)]),
        ("size-mismatch", "images/a.png", "it is 16 x 12, the annotations say 32 x 24"),
    ),
    "coco_annotation_id_twice": case(
        coco(annotations=[coco_box(1), coco_box(1, bbox=[8, 1, 3, 3])]),
        ("duplicate-id", "annotation 1", "an earlier annotation has this id"),
    ),
    "coco_annotation_id_zero": case(
        coco(annotations=[coco_box(0)]), ("annotation-id-zero", "annotation 0")
    ),
    "coco_annotation_without_id": case(
        coco(annotations=[coco_box(1), {**coco_box(2), "id": None}]),
        ("malformed-object", "annotation None", "id must be a whole number"),
    ),
    "coco_annotation_is_a_number": case(
        coco(annotations=[coco_box(1), 5]), ("malformed-object", "annotation number 2", "got 5")
    ),
    "coco_unknown_image": case(
        coco(annotations=[coco_box(1), coco_box(7, image_id=99)]),
        ("unknown-image", "annotation 7", "image_id 99 is not in the list"),
    ),
    "coco_unknown_category": case(
        coco(annotations=[coco_box(1), coco_box(7, category_id=0)]),
        ("unknown-class", "annotation 7", "class 'category_id 0' is not one of: cat"),
    ),
    "coco_box_of_text": box_case(
        ["2", "3", "4", "5,5"], "malformed-object", "annotation 7", "must be four numbers"
    ),
    "coco_box_of_three": box_case(
        [2, 3, 4], "malformed-object", "annotation 7", "must be four numbers", "got [2, 3, 4]"
    ),
    "coco_box_nan": case(
        '{"images": [{"id": 1, "file_name": "a.png", "width": 16, "height": 12}],\n'
        ' "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 3, 4, 5],\n'
        '   "area": 20, "iscrowd": 0},\n'
        '  {"id": 7, "image_id": 1, "category_id": 1, "bbox": [NaN, 3, 4, 5],\n'
        '   "area": 20, "iscrowd": 0}],\n'
        ' "categories": [{"id": 1, "name": "cat"}]}\n',
        ("box-not-finite", "annotation 7", "box (nan, 3, nan, 8) in a.png"),
    ),
    "coco_box_beyond_floats": box_case(
        [2, 3, 10**400, 5], "box-not-finite", "annotation 7", "box (2, 3, inf, 8)"
    ),
    "coco_box_negative_width": box_case(
        [9, 3, -4, 5], "box-inverted", "annotation 7", "box (9, 3, 5, 8)", "right side comes before"
    ),
    "coco_box_without_area": box_case(
        [2, 3, 0, 5], "box-without-area", "annotation 7", "is 0 x 5 pixels large"
    ),
    "coco_box_off_image": box_case(
        [16, 3, 4, 5], "box-off-image", "annotation 7", "of 16 x 12 pixels lies wholly outside"
    ),
    "coco_box_outside_image": box_case(
        [-3, 3, 6, 5], "box-outside-image", "annotation 7", "reaches 3 pixels beyond the image"
    ),
    "coco_box_twice": box_case(
        [2, 3, 4, 5], "duplicate-box", "annotation 7", "in a.png, as annotation 1"
    ),
    "coco_crowd_of_text": case(
        coco(annotations=[coco_box(1), coco_box(7, iscrowd="maybe")]),
        ("malformed-object", "annotation 7", "iscrowd must be 0 or 1, got 'maybe'"),
    ),
    "coco_ids_of_text": case(
        coco(
            images=[coco_image("1", "a.png")],
            annotations=[coco_box("5", image_id=1.0, iscrowd="0")],
        ),
        ("converted-value", "annotation 5", "iscrowd is text, such as '0': read as 0"),
    ),
    "coco_without_crowd_and_area": case(
        coco(annotations=[coco_box(7, iscrowd=None, area="")]),
        ("missing-value", "annotation 7", "no iscrowd and area"),
    ),
}
