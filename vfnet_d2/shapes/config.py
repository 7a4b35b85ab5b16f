"""Arguments of the synthetic shapes dataset."""

from dataclasses import dataclass

SHAPES_CLASSES: tuple[str, ...] = ("circle", "square", "triangle", "star", "cross")


@dataclass(frozen=True, kw_only=True)
class ShapesConfig:
    """Everything that decides the images and annotations of a shapes dataset.

    Attributes:
        num_images: number of images.
        seed: two datasets of different seeds share no image.
        image_size: height and width in pixels.
        objects_per_image: mean of the Poisson number of objects in an image that is not empty;
            crowds come on top.
        empty_fraction: share of the images that hold no object.
        crowd_fraction: share of the images that hold a crowd annotation.
        min_side, max_side, median_side: the longer side of an object's box before occlusion, in
            pixels; log-normal, clipped.
        contrast: mean difference between a large object's colour and what is beneath it, 1 being
            black to white; small objects get up to twice as much.
        texture: amplitude of the textures of background and objects, on the same scale.
        overlap: share of the objects that are put next to or on top of another one on purpose.
        max_hidden: largest part of an object's painted area that may be hidden or outside the
            image.

    Raises:
        ValueError: for a value out of range, naming it.
    """

    num_images: int
    seed: int
    image_size: int = 160
    objects_per_image: float = 4.0
    empty_fraction: float = 0.05
    crowd_fraction: float = 0.03
    min_side: float = 6.0
    max_side: float = 150.0
    median_side: float = 28.0
    contrast: float = 0.20
    texture: float = 0.15
    overlap: float = 0.1
    max_hidden: float = 0.5

    def __post_init__(self) -> None:
        # In this order: the limits of a value are values that have been found good.
        limits: dict[str, tuple[float, float]] = {
            "num_images": (1, 999_999),
            "seed": (0, 2**63),
            "image_size": (16, 4096),
            "median_side": (4, self.image_size),
            "min_side": (4, self.median_side),
            "max_side": (self.median_side, self.image_size),
            "objects_per_image": (0.1, 100),
            "empty_fraction": (0, 1),
            "crowd_fraction": (0, 1),
            "contrast": (0.01, 1),
            "texture": (0, 1),
            "overlap": (0, 1),
            "max_hidden": (0.1, 0.9),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if name in ("num_images", "seed", "image_size") and not isinstance(value, int):
                raise ValueError(f"ShapesConfig: {name}={value!r} must be an integer")
            if not low <= value <= high:
                raise ValueError(f"ShapesConfig: {name}={value!r} must be between {low} and {high}")
        if self.empty_fraction + self.crowd_fraction > 1:
            raise ValueError(
                f"ShapesConfig: empty_fraction={self.empty_fraction!r} and "
                f"crowd_fraction={self.crowd_fraction!r} must not add up to more than 1"
            )
