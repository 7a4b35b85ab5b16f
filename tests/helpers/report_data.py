"""Ground truth and detections for tests of the report."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vfnet_d2.evaluation.report.data import EvaluationData, from_coco

SIZE = 100
NAMES = ("cat", "dog", "cow", "hen")

# Image from 1, class from 0, box x, y, width, height; and for objects whether it is a crowd, for
# detections the score.
Item = tuple[int, int, Sequence[float], float]


def ground_truth(
    objects: Sequence[Item], *, images: int = 1, names: Sequence[str] = NAMES, size: int = SIZE
) -> dict[str, Any]:
    """COCO ground truth; category ids are 10, 20 and so on."""
    return {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": size, "height": size}
            for i in range(1, images + 1)
        ],
        "categories": [{"id": 10 * k, "name": name} for k, name in enumerate(names, start=1)],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": 10 * (label + 1),
                "bbox": list(box),
                "area": box[2] * box[3],
                "iscrowd": int(crowd),
            }
            for number, (image, label, box, crowd) in enumerate(objects, start=1)
        ],
    }


def results(detections: Sequence[Item]) -> list[dict[str, Any]]:
    """COCO results."""
    return [
        {"image_id": image, "category_id": 10 * (label + 1), "bbox": list(box), "score": score}
        for image, label, box, score in detections
    ]


def make_data(
    objects: Sequence[Item], detections: Sequence[Item], *, images: int = 1, size: int = SIZE
) -> EvaluationData:
    """Data of a report."""
    return from_coco(ground_truth(objects, images=images, size=size), results(detections))


def random_items(
    *, seed: int = 0, images: int = 12, noise: float = 0.08, size: int = SIZE
) -> tuple[list[Item], list[Item]]:
    """Objects, some of them crowds, and detections: shifted, missing, doubled and invented ones.

    Args:
        seed: of the random numbers.
        images: how many.
        noise: of the boxes, as a part of their size.
        size: of the images in pixels.
    """
    random = np.random.default_rng(seed)
    objects: list[Item] = []
    detections: list[Item] = []
    for image in range(1, images + 1):
        for _ in range(random.integers(1, 7)):
            box = _random_box(random, size)
            label = int(random.integers(0, len(NAMES)))
            objects.append((image, label, box.tolist(), int(random.random() < 0.1)))
            for _ in range(random.choice([0, 1, 1, 1, 1, 2])):
                moved = box + random.normal(0, noise, 4) * box[[2, 3, 2, 3]]
                seen = label if random.random() < 0.9 else int(random.integers(0, len(NAMES)))
                detections.append((image, seen, moved.tolist(), round(random.random(), 2)))
        for _ in range(random.integers(0, 3)):
            wrong = _random_box(random, size).tolist()
            score = round(random.random() / 2, 2)
            detections.append((image, int(random.integers(0, len(NAMES))), wrong, score))
    return objects, detections


def random_data(**options: Any) -> EvaluationData:
    """Data of :func:`random_items`."""
    objects, detections = random_items(**options)
    size = options.get("size", SIZE)
    return make_data(objects, detections, images=options.get("images", 12), size=size)


def _random_box(random: np.random.Generator, size: int) -> np.ndarray:
    side = random.uniform(0.08, 0.6, 2) * size
    return np.concatenate([random.uniform(0, size - side), side])
