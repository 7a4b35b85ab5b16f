"""Broken image files in good datasets, and splits that do not fit together."""

import io
import struct
import zlib

from PIL import Image

from tests.helpers.broken_case import HEIGHT, WIDTH, Case, coco, coco_box, coco_image, encoded

A, B = encoded(10), encoded(200)
BOTH = coco(images=[coco_image(1, "a.png"), coco_image(2, "b.png")])


def bomb() -> bytes:
    """A PNG whose header promises 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def deep() -> bytes:
    """A PNG of 16 bits."""
    buffer = io.BytesIO()
    Image.new("I;16", (WIDTH, HEIGHT), 40_000).save(buffer, "PNG")
    return buffer.getvalue()


def second(content: bytes | str, *finding: str, name: str = "b.png") -> Case:
    """A good image and a second one with this content."""
    annotations = coco(images=[coco_image(1, "a.png"), coco_image(2, name)])
    files = {"annotations.json": annotations, "images/a.png": A, f"images/{name}": content}
    return Case(files, (finding,))


def splits(val: dict, val_image: bytes, *findings: tuple[str, ...]) -> Case:
    """A training and a validation set."""
    files = {
        "train/annotations.json": coco(),
        "train/a.png": A,
        "val/annotations.json": val,
        "val/a.png": val_image,
    }
    return Case(files, findings)


JPEG = encoded(10, kind="JPEG", size=(WIDTH, HEIGHT))
HTML = "<!DOCTYPE html>\n<html><body>404</body></html>\n"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
TWO_CLASSES = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]

IMAGE_CASES = {
    "image_empty": second(b"", "unreadable-image", "images/b.png", "the file is empty"),
    "image_cut_off_png": second(
        B[: len(B) * 3 // 4], "truncated-image", "images/b.png", "image 2", "truncated"
    ),
    "image_cut_off_jpeg": second(
        JPEG[: len(JPEG) - 60], "truncated-image", "images/b.jpg", "truncated", name="b.jpg"
    ),
    "image_damaged": second(
        B[:50] + bytes(20) + B[70:], "unreadable-image", "images/b.png", "image 2"
    ),
    "image_is_a_web_page": second(HTML, "unreadable-image", "images/b.png", "it is a web page"),
    "image_is_an_lfs_pointer": second(POINTER, "unreadable-image", "a pointer of Git LFS"),
    "image_is_text": second("not a picture\n", "unreadable-image", "no image format that Pillow"),
    "image_bomb": second(bomb(), "decompression-bomb", "images/b.png", "it has 900,000,000 pixels"),
    "image_16_bits": second(deep(), "unusual-pixels", "images/b.png", "expected 8 bits"),
    "image_copy": Case(
        {"annotations.json": BOTH, "images/a.png": A, "images/b.png": A},
        (("duplicate-image", "images/b.png", "it has the content of", "images/a.png"),),
    ),
    "exif_swaps_sides": second(
        encoded(200, kind="JPEG", orientation=6),
        "exif-swaps-sides",
        "images/b.jpg",
        "the annotations say 16 x 12, as stored; upright it is 12 x 16",
        name="b.jpg",
    ),
    "exif_upside_down": second(
        encoded(200, kind="JPEG", orientation=3),
        "exif-rotated",
        "images/b.jpg",
        "EXIF orientation 3, stored as 16 x 12, upright 16 x 12",
        name="b.jpg",
    ),
    "split_shares_an_image": splits(
        coco(), A, ("image-in-two-splits", "val/a.png", "it is in train and val", "train/a.png")
    ),
    "split_of_other_classes": splits(
        coco(categories=[{"id": 1, "name": "kitten"}]),
        B,
        ("different-classes", "val/annotations.json", "lacks 'cat' and has 'kitten' besides"),
    ),
    "split_of_other_class_order": Case(
        {
            "train.json": coco(
                annotations=[coco_box(1), coco_box(2, category_id=2, bbox=[1, 1, 3, 3])],
                categories=TWO_CLASSES,
            ),
            "val.json": coco(
                images=[coco_image(1, "b.png")],
                categories=[{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
            ),
            "images/a.png": A,
            "images/b.png": B,
        },
        (("different-classes", "val.json", "another order: dog, cat instead of cat, dog"),),
        {"path": "train.json", "val": "val.json"},
    ),
    "split_without_a_class": splits(
        coco(annotations=[]), B, ("class-only-in-train", "class 'cat' has 1 objects in training")
    ),
    "split_without_images": splits(
        coco(images=[], annotations=[]), B, ("no-images", "val/annotations.json")
    ),
}
