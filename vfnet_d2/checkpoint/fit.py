"""Whether a checkpoint fits a model: converted files entirely, others at least in part."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from torch import nn

from vfnet_d2.checkpoint.convert.architecture import model_name
from vfnet_d2.checkpoint.convert.backbones import Shapes, rows
from vfnet_d2.checkpoint.convert.mmdet_keys import DETECTORS, LOOKALIKES, keys_of
from vfnet_d2.checkpoint.convert.pairs import COUNTER
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.metadata import InputConvention, Metadata
from vfnet_d2.modeling.detector import is_detector

INPUT_KEYS = (
    "INPUT.FORMAT, MODEL.PIXEL_MEAN and MODEL.PIXEL_STD (YAML), or model.input_format, "
    "model.pixel_mean and model.pixel_std and the mappers' image_format (LazyConfig)"
)


def check_matches(model: nn.Module, found: list[str], incompatible: Any) -> None:
    """Raise CheckpointError when not one parameter of the model was filled.

    Args:
        model: the model that was loaded into.
        found: names in the file.
        incompatible: fvcore's result of loading.
    """
    expected = [name for name, _ in model.named_parameters()]
    mismatched = {name for name, *_ in incompatible.incorrect_shapes}
    unfilled = set(incompatible.missing_keys) | mismatched
    if expected and all(name in unfilled for name in expected):
        raise CheckpointError(
            f"the checkpoint fits no parameter of {type(model).__name__}: expected names such as "
            f"{expected[:3]}, found {found[:3]} ({len(found)} entries"
            + (f", {len(mismatched)} of another shape" if mismatched else "")
            + "). Is it a checkpoint of another architecture or project?"
        )


class ModelTraits(NamedTuple):
    """What a model says about itself, for comparison with a file.

    Attributes:
        detector: its meta-architecture.
        classifiers: see :class:`~vfnet_d2.modeling.detector.Detector`; None where it says none.
        num_classes_key: likewise.
    """

    detector: str
    classifiers: Mapping[str, int] | None = None
    num_classes_key: str | None = None

    @classmethod
    def of(cls, model: nn.Module) -> "ModelTraits":
        """Return what a model says, which is little unless it is a Detector."""
        if not is_detector(model):
            return cls(type(model).__name__)
        return cls(type(model).__name__, model.classifiers(), model.num_classes_key)


def classifiers_of(metadata: Metadata, model: ModelTraits) -> Mapping[str, int]:
    """Return the layers whose shapes depend on the classes; none where nobody says.

    The model knows best, then the file; files of old versions are looked up in the key tables.
    """
    if model.classifiers is not None:
        return model.classifiers
    if metadata.classifiers is not None:
        return metadata.classifiers
    keys = keys_of(metadata.detector)
    # Those whose number of anchors is not fixed came later, with metadata that say it.
    return {keys.our_classifier: keys.anchors} if keys and keys.anchors else {}


def check_converted(
    metadata: Metadata, file: Shapes, model: Shapes, path: str, *, traits: ModelTraits
) -> None:
    """Raise CheckpointError unless a converted file fits the model in every tensor.

    Args:
        metadata: of the file.
        file: shapes of its tensors, by name.
        model: shapes of the model's tensors, by name.
        path: of the file.
        traits: of the model.
    """
    file, model = _counted(file), _counted(model)
    detector, classifiers = traits.detector, classifiers_of(metadata, traits)
    if metadata.classifier_dropped:
        if not classifiers:
            raise CheckpointError(
                f"{path} was written without its classifier, but neither the file nor the model, "
                f"a {detector}, says which layers that is. Give {detector} classifiers(), as "
                "vfnet_d2.modeling.detector describes, or convert the file again with its "
                "classifier"
            )
        model = {name: shape for name, shape in model.items() if not _is_in(name, classifiers)}
    wrong = sorted(name for name in file.keys() | model.keys() if file.get(name) != model.get(name))
    # Classes of other projects are not known here; they may be made from one of ours.
    known = DETECTORS.keys() | LOOKALIKES.keys()
    confused = metadata.detector != detector and {metadata.detector, detector} <= known
    if not wrong and not confused:
        return
    theirs, ours = metadata.architecture, model_name(model, detector)
    if theirs != ours:
        configs = ", ".join(metadata.configs) or "none shipped"
        reason = (
            f"{path} is a checkpoint of {theirs}, but the model is {ours}. "
            f"Use a config of the checkpoint's architecture ({configs}) or another checkpoint"
        )
    elif all(_is_in(name, classifiers) for name in wrong):
        layer, times = next(iter(classifiers.items()))
        has, wants = (rows(shapes, f"{layer}.weight") // times for shapes in (file, model))
        key = traits.num_classes_key or "its number of classes"
        reason = (
            f"{path} has {has} classes, but the model has {wants} ({key} (YAML) or "
            "model.num_classes (LazyConfig)). To fine-tune with other classes, use `vfnet train`, "
            "or leave its classifier out, which then starts afresh: tools/convert_checkpoint.py "
            f"{path} OUT.pth --drop-classifier"
        )
    else:
        reason = f"{path} is a checkpoint of {theirs}, as the model is, but does not fit it"
    raise CheckpointError(f"{reason}. {_misfits(wrong, file, model)}")


def _misfits(wrong: list[str], file: Shapes, model: Shapes) -> str:
    """How many tensors do not fit, and the first of them."""
    if not wrong:
        return "All tensors fit, but the two detectors read them differently"
    first = wrong[0]
    return (
        f"{len(wrong)} tensors do not fit, first {first}, of shape "
        f"{file.get(first, 'none')} in the file and {model.get(first, 'none')} in the model"
    )


def _counted(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    return {n: tuple(shape) for n, shape in shapes.items() if not n.endswith(COUNTER)}


def _is_in(name: str, layers: Iterable[str]) -> bool:
    return any(name.startswith(f"{layer}.") for layer in layers)


def convention_warning(metadata: Metadata, model: nn.Module, path: str) -> str | None:
    """Return a warning if a model prepares images otherwise than the file's weights need.

    Args:
        metadata: of the file.
        model: has ``pixel_mean``, ``pixel_std`` and ``input_format``, or is not asked.
        path: of the file.
    """
    values: Mapping[str, Any] = {
        name: getattr(model, name, None) for name in ("input_format", "pixel_mean", "pixel_std")
    }
    if any(value is None for value in values.values()):
        return None
    mean, std = (tuple(values[x].flatten().tolist()) for x in ("pixel_mean", "pixel_std"))
    ours = InputConvention(values["input_format"], mean, std, "the config")
    theirs = metadata.input_convention
    if not theirs.differs(ours):
        return None
    return (
        f"{path} needs images as {theirs}, but the model is set to {ours}. Detections will be "
        f"worse until the config agrees: {INPUT_KEYS}"
    )


def check_complete(
    model: nn.Module, *, missing: list[str], unexpected: list[str], path: str
) -> None:
    """Raise CheckpointError unless a file filled the whole model, for an evaluation.

    Args:
        model: the model that was loaded into.
        missing: its tensors that the file lacks or has in another shape.
        unexpected: tensors of the file that the model lacks.
        path: of the file.
    """
    missing = [name for name in missing if not name.endswith(COUNTER)]
    unexpected = [name for name in unexpected if not name.endswith(COUNTER)]
    if missing:
        raise CheckpointError(
            f"{path} does not fill {len(missing)} of the {len(model.state_dict())} tensors of "
            f"{type(model).__name__}, first {missing[0]}: they would be random. Evaluation and "
            "prediction need the weights of a whole detector; ImageNet's are for training"
        )
    if unexpected:
        raise CheckpointError(
            f"{path} has {len(unexpected)} tensors that {type(model).__name__} lacks, first "
            f"{unexpected[0]}: it is of another architecture. Use its config"
        )
