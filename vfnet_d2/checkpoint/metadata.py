"""What a checkpoint says about itself, and the input convention among it."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from vfnet_d2.checkpoint.errors import CheckpointError

# Entry of a .pth file's dict, and of a .safetensors file's header.
ENTRY = "vfnet_d2"
# Grows when the entry itself changes. 1, which did not say so: no classifiers, no key of the
# classes, no LazyConfig, and a config without its solver.
SCHEMA_VERSION = 2
# Grows when the same source would be converted to something else.
CONVERTER_VERSION = 1


class InputConvention(NamedTuple):
    """How images must be prepared for a network.

    Attributes:
        input_format: channel order, "RGB" or "BGR".
        pixel_mean: in this order, of values in 0..255.
        pixel_std: likewise.
        told_by: where this is known from.
    """

    input_format: str
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]
    told_by: str

    def differs(self, other: "InputConvention") -> bool:
        """Whether images would be prepared otherwise."""
        if self.input_format != other.input_format:
            return True
        ours, theirs = (*self.pixel_mean, *self.pixel_std), (*other.pixel_mean, *other.pixel_std)
        # Models hold the values as float32.
        return len(ours) != len(theirs) or any(
            abs(a - b) > 1e-3 for a, b in zip(ours, theirs, strict=True)
        )

    def __str__(self) -> str:
        mean, std = ([round(x, 3) for x in values] for values in (self.pixel_mean, self.pixel_std))
        return f"{self.input_format}, mean {mean}, std {std}"


# VarifocalNet's own preprocessing, which is that of torchvision's ImageNet models.
PUBLISHED_INPUT = InputConvention(
    "RGB",
    (123.675, 116.28, 103.53),
    (58.395, 57.12, 57.375),
    "nothing in the file, so that of the published models",
)

# That of MSRA's ImageNet models, whose deviation is in their first convolution.
MSRA_INPUT = PUBLISHED_INPUT._replace(
    input_format="BGR", pixel_mean=(103.53, 116.28, 123.675), pixel_std=(1.0, 1.0, 1.0)
)


class Metadata(NamedTuple):
    """What is written into a converted file, or one of a training.

    Attributes:
        architecture: see :class:`~vfnet_d2.checkpoint.convert.architecture.Architecture`; its name.
        detector: our meta-architecture.
        configs: shipped configs that fit.
        num_classes: of the classifier, also of one that was dropped.
        classifier_dropped: the file has no classifier, for fine-tuning with other classes.
        class_names: K names, or None where the source does not tell.
        source_file: name of the file it was made from; "" for one of a training.
        source_sha256: of this file.
        input_convention: see there.
        converter_version: see :data:`CONVERTER_VERSION`.
        config: text of the YAML config of the training, MODEL, INPUT, TEST and SOLVER of it; or
            None.
        lazy_config: YAML text of the LazyConfig of the training, as far as prediction needs it;
            or None.
        num_classes_key: see :class:`~vfnet_d2.modeling.detector.Detector`; None in old files.
        classifiers: of the detector: names of its layers and rows per class; None in old files.
    """

    architecture: str
    detector: str
    configs: list[str]
    num_classes: int | None
    classifier_dropped: bool
    class_names: list[str] | None
    source_file: str
    source_sha256: str
    input_convention: InputConvention
    converter_version: int = CONVERTER_VERSION
    config: str | None = None
    lazy_config: str | None = None
    num_classes_key: str | None = None
    classifiers: dict[str, int] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, which JSON and ``torch.load(weights_only=True)`` can hold."""
        convention = self.input_convention
        return {
            "schema_version": SCHEMA_VERSION,
            **self._asdict(),
            "input_convention": {
                **convention._asdict(),
                "pixel_mean": list(convention.pixel_mean),
                "pixel_std": list(convention.pixel_std),
            },
        }

    @classmethod
    def from_dict(cls, values: Any, path: object) -> "Metadata":
        """Read what :meth:`as_dict` wrote.

        Args:
            values: the entry.
            path: of the file it is from, for the message.

        Raises:
            CheckpointError: something is missing or not known, or a newer version wrote it.
        """
        try:
            values = dict(values)
            version = values.pop("schema_version", 1)
            if version > SCHEMA_VERSION:
                raise CheckpointError(
                    f"the entry {ENTRY!r} of {path} is of schema version {version}, and this "
                    f"vfnet_d2 reads versions up to {SCHEMA_VERSION}: it was written by a newer "
                    "one. Update vfnet_d2"
                )
            convention = dict(values["input_convention"])
            for key in ("pixel_mean", "pixel_std"):
                convention[key] = tuple(float(x) for x in convention[key])
            return cls(**{**values, "input_convention": InputConvention(**convention)})
        except CheckpointError:
            raise
        except (TypeError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"the entry {ENTRY!r} of {path} cannot be understood ({error}); was it written by "
                f"another version? This one writes version {SCHEMA_VERSION}: convert the source "
                "again"
            ) from error


def convention_of(
    meta: Mapping[str, Any],
    state: Mapping[str, Tensor] | None = None,
    *,
    published: InputConvention = PUBLISHED_INPUT,
) -> InputConvention:
    """Read the input convention off the config that mmdet writes into its checkpoints.

    Without a config, or where it says several things, it is that of the published models, with the
    mean and deviation that Detectron2's models may have in their state.

    Args:
        meta: the checkpoint's "meta"; its config is text, under "config" (2.x) or "cfg" (3.x).
        state: the checkpoint's tensors.
        published: of the published models of the detector.
    """
    text = next((meta[key] for key in ("config", "cfg") if isinstance(meta.get(key), str)), "")
    order = set(re.findall(r"\b(?:bgr_)?to_rgb\s*=\s*(True|False)", text))
    mean, std = (_only_triple(text, word) for word in ("mean", "std"))
    if len(order) != 1 or mean is None or std is None:
        return _buffered(state or {}, published)
    return InputConvention("RGB" if order == {"True"} else "BGR", mean, std, "the file's config")


def _buffered(state: Mapping[str, Tensor], published: InputConvention) -> InputConvention:
    buffers = [state.get(name) for name in ("pixel_mean", "pixel_std")]
    mean, std = (() if x is None else tuple(x.flatten().tolist()) for x in buffers)
    if len(mean) != 3 or len(std) != 3:
        return published
    found = published._replace(pixel_mean=mean, pixel_std=std, told_by="the file's pixel_mean")
    return found if found.differs(published) else published


def _only_triple(text: str, word: str) -> tuple[float, ...] | None:
    """The three numbers of ``word=[a, b, c]``, if the text has them everywhere alike."""
    number = r"\s*(-?[\d.]+(?:e-?\d+)?)\s*"
    found = set(re.findall(rf"\b{word}\s*=\s*[\[(]{number},{number},{number},?\s*[\])]", text))
    return tuple(float(x) for x in found.pop()) if len(found) == 1 else None


def class_names_of(meta: Mapping[str, Any], num_classes: int | None) -> list[str] | None:
    """Return the class names of mmdet's "meta": CLASSES (2.x) or dataset_meta.classes (3.x)."""
    nested = meta.get("dataset_meta")
    places = [nested if isinstance(nested, Mapping) else {}, meta]
    for place in places:
        for key in ("classes", "CLASSES"):
            names = place.get(key)
            if not isinstance(names, (list, tuple)) or len(names) != num_classes:
                continue
            if all(isinstance(name, str) for name in names):
                return list(names)
    return None
