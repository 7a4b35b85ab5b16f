"""What can be wrong with a dataset: one stable code each, with its severity and remedy."""

from typing import Literal, NamedTuple

Severity = Literal["error", "warning"]


class Code(NamedTuple):
    """A kind of finding.

    Attributes:
        severity: "error" where training would fail or learn what is wrong, else "warning".
        title: what it is, in a few words.
        remedy: what to do about it.
    """

    severity: Severity
    title: str
    remedy: str


def _error(title: str, remedy: str) -> Code:
    return Code("error", title, remedy)


def _warning(title: str, remedy: str) -> Code:
    return Code("warning", title, remedy)


_EXPORT = "Export the annotations again, or correct the file by hand."
_FIX = "Correct the annotation, or let --fix write a copy without it."

CODES: dict[str, Code] = {
    # annotation files
    "unreadable-annotations": _error("annotation file that cannot be read", _EXPORT),
    "malformed-annotations": _error("annotation file of the wrong structure", _EXPORT),
    "malformed-image": _error("image entry that cannot be used", _EXPORT),
    "malformed-object": _error("object that cannot be used", _EXPORT),
    "xml-entities": _error(
        "XML file that defines entities, as entity bombs do",
        "Do not trust this dataset. Annotation files need no entities: remove the DOCTYPE.",
    ),
    "path-leaves-root": _error(
        "path that leaves the dataset's folder",
        "Write paths relative to the dataset's folder, or name a folder that contains "
        "all images with --root if you trust the dataset.",
    ),
    "moved-dataset": _warning(
        "data.yaml whose path does not exist here",
        "Nothing if the folder beside data.yaml is the right one; else correct `path`.",
    ),
    "moved-path": _warning(
        "path that does not exist here, of which an end does",
        "Nothing if the file that was taken is the right one (--pictures shows a few); else "
        "correct the path. --fix writes paths as they are here.",
    ),
    "left-out-file": _warning(
        "files that are not read",
        "Nothing if they do not belong to the dataset. Else convert pictures to JPEG or PNG, and "
        "give every image its annotations.",
    ),
    "other-spelling": _warning(
        "path that is spelt otherwise than the file: in case, accents or %20",
        "Nothing here. Other tools may not find the file: --fix writes names as they are.",
    ),
    "duplicate-id": _error(
        "id that is used twice",
        "Give every image and every annotation an id of its own.",
    ),
    "annotation-id-zero": _warning(
        "annotation with the id 0",
        "Count annotation ids from 1: pycocotools takes a match with the id 0 for no match.",
    ),
    "unknown-image": _error(
        "annotation of an image that is not listed",
        "Add the image to the list, or remove the annotation.",
    ),
    "object-without-image": _error(
        "object whose image cannot be used",
        "Mend its image, which has a finding of its own; --fix leaves both out.",
    ),
    "ambiguous-image": _error(
        "annotations that may belong to another image",
        "Make the names of images and of annotation files agree, one to one.",
    ),
    "other-filename": _warning(
        "file name in an XML file that is not the XML file's own",
        "Look at a few (--pictures). If they are right, correct <filename>; if not, the XML "
        "files were renamed or copied to wrong names.",
    ),
    "converted-value": _warning(
        "value that is written otherwise than the format says",
        "Nothing if it is read as it is meant. --fix writes what was read, for other tools.",
    ),
    "missing-value": _warning(
        "object without values that other tools need",
        "Nothing: they are filled in here. --fix writes them, for other tools.",
    ),
    "ambiguous-labels": _error(
        "lines that may be keypoints or polygons",
        "Add to data.yaml what they are: `kpt_shape: [number of keypoints, 2 or 3]`, or "
        "`task: segment` for polygons, `task: obb` for oriented boxes.",
    ),
    "ignored-numbers": _warning(
        "lines with more numbers than a box has",
        "Nothing: keypoints and confidences are not used. Look at a few boxes (--pictures).",
    ),
    # classes
    "no-classes": _error(
        "no class names",
        "Name the classes: `categories` (COCO), `names` in data.yaml (YOLO), or a classes.txt.",
    ),
    "unnamed-classes": _warning(
        "classes without names",
        "Add a data.yaml with `names`, or a classes.txt with one name a line.",
    ),
    "duplicate-class": _error("class name that is used twice", "Give every class its own name."),
    "unknown-class": _error(
        "object of a class that is not in the class list",
        "Add the class to the list or correct the object. Indices count from 0 in YOLO files.",
    ),
    "empty-class": _warning(
        "class without any object",
        "Nothing if that is meant; its AP is undefined. Else look for a misspelt name.",
    ),
    "class-only-in-train": _warning(
        "class that the validation set lacks",
        "Move some images with it to the validation set: its AP is undefined there.",
    ),
    "different-classes": _error(
        "splits with different class lists", "Use the same classes in the same order everywhere."
    ),
    "sparse-category-ids": _warning(
        "category ids with gaps",
        "Nothing: classes are numbered 0, 1, ... in the order of their ids. Tools that use the "
        "ids as indices will be off.",
    ),
    # images
    "no-images": _error("no images", "Check the path, and --split and --root if given."),
    "no-objects": _error(
        "no objects in the whole dataset",
        "Check that the annotation files stand where the format expects them.",
    ),
    "missing-image": _error(
        "image that does not exist",
        "Put the image there, name the folder of the images with --root, or remove the entry.",
    ),
    "unreadable-image": _error(
        "file that is not a readable image", "Replace it; --fix writes a copy without it."
    ),
    "truncated-image": _error(
        "image whose data ends early", "Download it again; --fix writes a copy without it."
    ),
    "decompression-bomb": _error(
        "image of very many pixels, as decompression bombs have",
        "Cut it into tiles or make it smaller; remove it if you do not know it.",
    ),
    "unusual-pixels": _warning(
        "image of pixels that are not 8 bits deep",
        "Convert it to 8 bits: Detectron2 cuts off larger values.",
    ),
    "size-mismatch": _error(
        "recorded image size that differs from the real one",
        "The image was resized or replaced after it was annotated: take the annotated one, or "
        "correct size and boxes. --fix records the real size.",
    ),
    "exif-swaps-sides": _error(
        "image that EXIF rotates, annotated as it is stored",
        "--fix writes upright images and turns the boxes with them. Detectron2 turns the image "
        "alone.",
    ),
    "exif-rotated": _warning(
        "image that EXIF turns or mirrors",
        "Look at its boxes (--pictures): they are taken to be those of the upright image. If they "
        "fit the image as it is stored, remove its EXIF orientation. --fix writes upright images.",
    ),
    "duplicate-image": _warning(
        "image that is there twice",
        "Remove one of the two; make sure that one does not lack the objects of the other.",
    ),
    "image-in-two-splits": _error(
        "image that is in two splits",
        "Remove it from one of them: results on images seen in training mean nothing.",
    ),
    # boxes
    "box-not-finite": _error("box with a NaN or infinite coordinate", _FIX),
    "box-inverted": _error(
        "box whose right or lower side comes first",
        "Check the order of the coordinates: COCO has x, y, width, height; the others differ. "
        "--fix leaves such boxes out.",
    ),
    "box-without-area": _warning(
        "box of no width or height",
        "Nothing: training leaves it out, and so does --fix.",
    ),
    "box-off-image": _error(
        "box that lies wholly outside its image",
        "Check that annotation and image belong together and that the units are right. --fix "
        "leaves such boxes out.",
    ),
    "box-outside-image": _warning(
        "box that reaches beyond its image",
        "Nothing for a few: training clips them, and so does --fix. Many mean a wrong image "
        "size or wrong units.",
    ),
    "box-not-normalised": _error(
        "coordinate that should be a part of the image size, from 0 to 1",
        "Divide x by the width and y by the height of the image.",
    ),
    "duplicate-box": _warning(
        "object that is there twice, with the same class and box", "Remove one of the two."
    ),
}


class Finding(NamedTuple):
    """One thing that is wrong, and where.

    Attributes:
        code: key of CODES.
        file: the file to look at: of annotations, or an image.
        where: line, annotation id or object in that file; "" for the whole file.
        cause: what was found there, and what was expected.
    """

    code: str
    file: str
    where: str
    cause: str

    @property
    def severity(self) -> Severity:
        """Of the code."""
        return CODES[self.code].severity

    @property
    def place(self) -> str:
        """File and place in it, as one text."""
        return f"{self.file}, {self.where}" if self.where else self.file

    def __str__(self) -> str:
        return f"{self.place}: {self.cause}"
