"""COCO JSON. Boxes only: masks and RLE are ignored, crowds are kept as crowds."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from vfnet_d2.data.formats.coco_values import (
    category_findings,
    corners,
    find_root,
    has_id,
    is_category,
    is_id,
    normalise,
)
from vfnet_d2.data.formats.files import (
    UnreadableFileError,
    files_in,
    parse_json,
    read_text,
    shorten,
    upright_size,
)
from vfnet_d2.data.formats.findings import Finding
from vfnet_d2.data.formats.reader import Reader
from vfnet_d2.data.formats.records import Annotation, ImageRecord, Reading, box_area
from vfnet_d2.data.formats.values import Id, Notes, as_number, as_size

# COCO's files for other tasks, which stand in the same folder.
_OTHER_TASKS = ("captions_", "person_keypoints_", "panoptic_", "stuff_", "image_info_")


class CocoReader(Reader):
    """One JSON file with the lists ``images``, ``annotations`` and ``categories``."""

    name = "coco"
    looks_like = "a .json file, or a folder with *.json or annotations/*.json"

    @classmethod
    def splits(cls, path: Path) -> Mapping[str, Path]:
        """The JSON file, or those of a folder by split."""
        if path.is_file():
            return {"": path} if path.suffix.lower() == ".json" else {}
        files = files_in(path, "*.json") or files_in(path, "annotations/*.json")
        found = {
            file.stem.removeprefix("instances_"): file
            for file in files
            if not file.stem.startswith(_OTHER_TASKS)
        }
        return {"": next(iter(found.values()))} if len(found) == 1 else found

    def own_classes(self) -> tuple[str, ...]:
        """Names of the categories, sorted by id."""
        return tuple(self._categories.values())

    @property
    def category_ids(self) -> tuple[Id, ...]:
        """The file's category ids, in the order of the class names."""
        return tuple(self._categories)

    @cached_property
    def root(self) -> Path:
        """The first usual folder in which one of the first images exists."""
        entries = [entry for entry in self._entries("images") if isinstance(entry, dict)]
        names = [str(entry.get("file_name")) for entry in entries]
        return self.given_root or find_root(self.path, self._folder, names)

    @property
    def trusted(self) -> tuple[Path, ...]:
        """The folder of images, and that of the dataset."""
        return (self.root,) if self.given_root is not None else (self.root, self._folder)

    @property
    def _folder(self) -> Path:
        """The folder of the dataset: annotations may have one of their own in it."""
        folder = self.path.parent
        return folder.parent if folder.name.casefold() in ("annotations", "labels") else folder

    @cached_property
    def _converted(self) -> Notes:
        """What ``_content`` has otherwise than the file."""
        return Notes()

    @cached_property
    def _content(self) -> dict[str, Any] | Finding:
        """The file, or why it cannot be used."""
        try:
            content = parse_json(read_text(self.path))
        except UnreadableFileError as error:
            return Finding("unreadable-annotations", str(self.path), "", str(error))
        lists = ("images", "annotations", "categories")
        if isinstance(content, dict) and all(isinstance(content.get(key), list) for key in lists):
            normalise(content, self.path, self._converted)
            return content
        keys = list(content)[:8] if isinstance(content, dict) else shorten(content)
        cause = f"expected an object with the lists images, annotations and categories, got {keys}"
        return Finding("malformed-annotations", str(self.path), "", cause)

    def _entries(self, key: str) -> list[Any]:
        return [] if isinstance(self._content, Finding) else self._content[key]

    @cached_property
    def _categories(self) -> dict[Id, str]:
        """Names by category id, sorted by id; entries that cannot be used left out."""
        found = {
            entry["id"]: entry["name"]
            for entry in self._entries("categories")
            if is_category(entry)
        }
        return dict(sorted(found.items(), key=lambda item: (isinstance(item[0], str), item[0])))

    def _read(self) -> Iterator[Reading]:
        if isinstance(self._content, Finding):
            yield self._content
            return
        yield from self._converted.findings()
        yield from category_findings(self._entries("categories"), self.path)
        images: dict[Id, dict[str, Any]] = {}
        paths: dict[Id, Path] = {}
        homes = (self.root, self.path.parent)
        for number, entry in enumerate(self._entries("images"), start=1):
            problem = self._image_problem(entry, number, images)
            if problem:
                yield problem
                continue
            found = self.locate(entry["file_name"], homes, self.path, f"image {entry['id']}")
            if isinstance(found, Finding):
                yield found
            else:
                images[entry["id"]], paths[entry["id"]] = entry, found
        listed = {e["id"] for e in self._entries("images") if has_id(e)}
        by_image: dict[Id, list[dict[str, Any]]] = defaultdict(list)
        ids: set[Id] = set()
        for number, entry in enumerate(self._entries("annotations"), start=1):
            problem = self._annotation_problem(entry, number, listed, ids)
            if problem is not None:
                yield problem
            if problem is None or problem.severity == "warning":
                by_image[entry["image_id"]].append(entry)
        # Ids are numbers from here on: all images are numbered anew if one has a text.
        anew = any(isinstance(image_id, str) for image_id in images)
        for number, (image_id, entry) in enumerate(images.items(), start=1):
            new_id = number if anew else int(image_id)
            yield self._image(entry, paths[image_id], by_image.pop(image_id, []), new_id)
        for entry in (entry for entries in by_image.values() for entry in entries):
            cause = f"its image {entry['image_id']} cannot be used, so it is left out"
            where = f"annotation {entry['id']}"
            yield Finding("object-without-image", str(self.path), where, cause)

    def _image_problem(
        self, entry: Any, number: int, images: Mapping[Id, dict[str, Any]]
    ) -> Finding | None:
        file = str(self.path)
        if not has_id(entry) or not isinstance(entry.get("file_name"), str):
            cause = f"expected a whole number id and a file_name, got {shorten(entry)}"
            return Finding("malformed-image", file, f"image number {number}", cause)
        where = f"image {entry['id']}"
        if entry["id"] in images:
            first = images[entry["id"]]["file_name"]
            cause = f"id of {shorten(first)} again, for {shorten(entry['file_name'])}"
            return Finding("duplicate-id", file, where, cause)
        sizes = (entry.get("width"), entry.get("height"))
        if any(size is not None and as_size(size) is None for size in sizes):
            cause = f"width and height must be positive whole numbers, got {shorten(sizes)}"
            return Finding("malformed-image", file, where, cause)
        return None

    def _annotation_problem(
        self, entry: Any, number: int, listed: set[Id], ids: set[Id]
    ) -> Finding | None:
        """What is wrong with an annotation, if anything; its id is added to ``ids``."""
        file = str(self.path)
        where = f"annotation number {number}"
        if not isinstance(entry, dict):
            return Finding("malformed-object", file, where, f"got {shorten(entry)}")
        where = f"annotation {shorten(entry['id'])}" if "id" in entry else where
        if not is_id(entry.get("image_id")) or entry["image_id"] not in listed:
            cause = f"image_id {shorten(entry.get('image_id'))} is not in the list of images"
            return Finding("unknown-image", file, where, cause)
        if corners(entry.get("bbox")) is None:
            cause = (
                f"bbox must be four numbers x, y, width, height, got {shorten(entry.get('bbox'))}"
            )
            return Finding("malformed-object", file, where, cause)
        if entry["iscrowd"] not in (0, 1):
            cause = f"iscrowd must be 0 or 1, got {shorten(entry['iscrowd'])}"
            return Finding("malformed-object", file, where, cause)
        category = entry.get("category_id")
        if not is_id(category) or category not in self._categories:
            return self.unknown_class(f"category_id {category}", self.path, where)
        if self.class_index(self._categories[category]) is None:
            return self.unknown_class(self._categories[category], self.path, where)
        if not is_id(entry.get("id")):
            cause = f"id must be a whole number, got {shorten(entry.get('id'))}"
            return Finding("malformed-object", file, where, cause)
        if entry["id"] in ids:
            return Finding("duplicate-id", file, where, "an earlier annotation has this id")
        ids.add(entry["id"])
        if entry["id"] == 0:
            return Finding("annotation-id-zero", file, where, "ids should count from 1")
        return None

    def _image(
        self,
        entry: dict[str, Any],
        path: Path,
        annotations: list[dict[str, Any]],
        image_id: int,
    ) -> ImageRecord:
        width, height = as_size(entry.get("width")), as_size(entry.get("height"))
        if width is None or height is None:
            width, height = upright_size(path)
        return ImageRecord(
            path=str(path),
            width=width,
            height=height,
            annotations=tuple(self._annotation(item) for item in annotations),
            image_id=image_id,
            file=str(self.path),
            where=f"image {entry['id']}",
            normalised=False,
        )

    def _annotation(self, entry: dict[str, Any]) -> Annotation:
        box = corners(entry["bbox"])
        index = self.class_index(self._categories[entry["category_id"]])
        assert box is not None and index is not None  # _annotation_problem has refused the others
        area = as_number(entry.get("area"))
        return Annotation(
            box=box,
            class_index=index,
            iscrowd=entry["iscrowd"] == 1,
            area=box_area(box) if area is None else area,
            where=f"annotation {entry['id']}",
            annotation_id=entry["id"] if isinstance(entry["id"], int) else None,
        )
