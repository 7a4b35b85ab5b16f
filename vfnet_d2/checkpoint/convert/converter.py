"""Checkpoints of other projects into ours and back: the engine that the key tables plug into."""

import os
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from vfnet_d2.checkpoint.convert.architecture import (
    Architecture,
    architecture_of,
    classifier_of,
    naming,
    shapes_of,
)
from vfnet_d2.checkpoint.convert.chensnathan import fold_biases
from vfnet_d2.checkpoint.convert.foreign_files import write_foreign
from vfnet_d2.checkpoint.convert.mmdet_keys import DETECTORS, LOOKALIKES
from vfnet_d2.checkpoint.convert.pairs import CHENSNATHAN, OURS, Pair
from vfnet_d2.checkpoint.convert.rename import KeyReport, convert_state, relevant, without_layer
from vfnet_d2.checkpoint.convert.shipped import configs_for
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.files import (
    SAFETENSORS,
    Contents,
    check_suffix,
    contents_of,
    read_file,
    sha256_of,
    write_checkpoint,
)
from vfnet_d2.checkpoint.metadata import (
    ENTRY,
    Metadata,
    class_names_of,
    convention_of,
)

NO_WEIGHTS = "entries of the file without weights"


class ConversionError(CheckpointError):
    """Tensors are missing or left over; ``report`` says which."""

    def __init__(self, message: str, report: KeyReport) -> None:
        super().__init__(message)
        self.report = report


class Conversion(NamedTuple):
    """What a conversion found and did.

    Attributes:
        architecture: of the file.
        metadata: written into the target.
        report: of every name.
        source_style: "ours", "mmdet" or "chensnathan".
    """

    architecture: Architecture
    metadata: Metadata
    report: KeyReport
    source_style: str

    def summary(self) -> str:
        """Return a few lines for people."""
        meta = self.metadata
        names = f"{len(meta.class_names)} names" if meta.class_names else "names unknown"
        dropped = ", classifier dropped" if meta.classifier_dropped else ""
        fitting = ", ".join(meta.configs) or "none of the shipped ones: write one of your own"
        return (
            f"architecture: {meta.architecture} ({meta.detector}), {meta.num_classes} classes "
            f"({names}){dropped}\n"
            f"configs: {fitting}\n"
            f"input: {meta.input_convention}, told by {meta.input_convention.told_by}\n"
            f"source: {meta.source_file}, {self.source_style} names, sha256 {meta.source_sha256}\n"
            f"tensors: {self.report.counts}"
        ) + self._name_warning()

    def _name_warning(self) -> str:
        """Published files bear the first digits of their own sha256."""
        promised = self.metadata.source_file.removesuffix(".pth").rpartition("-")[2]
        is_sha = len(promised) == 8 and set(promised) <= set("0123456789abcdef")
        if not is_sha or self.metadata.source_sha256.startswith(promised):
            return ""
        return (
            f"\nwarning: by its name, the sha256 of {self.metadata.source_file} begins with "
            f"{promised}, but it does not: the file was changed or damaged"
        )


def convert_checkpoint(
    source: str | Path,
    target: str | Path,
    *,
    to: str = OURS,
    num_classes: int = 80,
    drop_classifier: bool = False,
    unsafe_pickle: bool = False,
) -> Conversion:
    """Convert a file, whole or not at all.

    Args:
        source: checkpoint of mmdet, of the authors' repositories or of this project.
        target: file to write: ``.pth`` or ``.safetensors``, with others' names ``.pth`` alone.
        to: whose names to write, "ours", "mmdet" or "chensnathan". From ours to ours changes the
            container, or drops the classifier.
        num_classes: that the file must have, unless its classifier is dropped.
        drop_classifier: leave out the layer whose shape depends on the classes.
        unsafe_pickle: see :func:`~vfnet_d2.checkpoint.files.read_file`.

    Raises:
        FileNotFoundError: no such source.
        CheckpointError: the source cannot be read, is of another detector or number of classes,
            or holds values that are not finite.
        ConversionError: a tensor is missing or left over.
    """
    check_suffix(target)
    if to != OURS and str(target).endswith(SAFETENSORS):
        raise CheckpointError(f"cannot write {target}: {to} reads .pth files")
    if os.path.exists(target) and os.path.exists(source) and os.path.samefile(source, target):
        raise CheckpointError(f"{target} is the source itself; choose another name")
    content = read_file(source, skip_histories=True, unsafe_pickle=unsafe_pickle)
    contents = contents_of(content, source)
    try:
        state, ignored = relevant(contents.state)
        architecture = architecture_of(shapes_of(state))
    except CheckpointError as error:
        raise CheckpointError(f"{source} cannot be converted: {error}") from error
    ignored += [(key, NO_WEIGHTS) for key in contents.rest if key not in ("meta", ENTRY)]
    style = naming(shapes_of(state)) or OURS
    _check_direction(source, style, to)
    if not drop_classifier:
        _check_classes(source, architecture, num_classes)
    metadata = _metadata(source, contents, architecture, dropped=drop_classifier)
    if to != OURS and metadata.detector in LOOKALIKES:
        raise CheckpointError(
            f"{source} is of {metadata.detector}, which {to} does not have; it would take the "
            f"tensors for {architecture.detector}'s and decode the boxes wrongly"
        )
    pairs = _pairs(source, architecture, style if style != OURS else to)
    if metadata.classifier_dropped:
        keys = DETECTORS[architecture.detector]
        state, dropped = without_layer(state, classifier_of(keys, style))
        ignored += dropped
        pairs = [pair for pair in pairs if not pair.ours.startswith(f"{keys.our_classifier}.")]
    converted, report = _convert(state, pairs, style, to, ignored)
    _check_complete(source, architecture, report)
    _check_finite(source, state)
    if to == OURS:
        write_checkpoint(target, converted, metadata.as_dict())
    else:
        write_foreign(target, converted, metadata, style=to)
    return Conversion(architecture, metadata, report, style)


def _check_direction(source: str | Path, style: str, to: str) -> None:
    if style == to != OURS:
        raise CheckpointError(f"{source} has {to}'s names already")
    if OURS not in (style, to):
        raise CheckpointError(f"{source} has {style}'s names: convert it into ours first")


def _pairs(source: str | Path, architecture: Architecture, style: str) -> list[Pair]:
    try:
        return architecture.pairs_with(style)
    except CheckpointError as error:
        raise CheckpointError(f"{source} is of {architecture.name}: {error}") from error


def _convert(
    state: dict[str, Tensor],
    pairs: list[Pair],
    style: str,
    to: str,
    ignored: list[tuple[str, str]],
) -> tuple[dict[str, Tensor], KeyReport]:
    """Rename all tensors, and fold what only others have into what we have too."""
    if style != CHENSNATHAN:
        return convert_state(state, pairs, source=style, target=to, ignored=ignored)
    folding = fold_biases(state)
    ignored = [*ignored, *folding.ignored]
    converted, report = convert_state(
        folding.state, pairs, source=style, target=to, ignored=ignored
    )
    return converted, report._replace(missing=[*report.missing, *folding.missing])


def _check_classes(source: str | Path, architecture: Architecture, expected: int) -> None:
    found = architecture.num_classes
    if found is not None and found != expected:
        raise CheckpointError(
            f"{source} has {found} classes, but {expected} are expected. Convert it as it is with "
            f"--num-classes {found} (and set the config's number of classes to {found}), or for "
            "fine-tuning leave the classifier out with --drop-classifier"
        )


def _metadata(
    source: str | Path, contents: Contents, architecture: Architecture, *, dropped: bool
) -> Metadata:
    """What to write into the target; a file of ours hands on what it says."""
    if ENTRY in contents.rest:
        known = Metadata.from_dict(contents.rest[ENTRY], source)
        return known._replace(classifier_dropped=dropped or known.classifier_dropped)
    meta = contents.rest.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    keys = DETECTORS[architecture.detector]
    return Metadata(
        architecture=architecture.name,
        detector=architecture.detector,
        configs=configs_for(architecture.name),
        num_classes=architecture.num_classes,
        classifier_dropped=dropped,
        class_names=class_names_of(meta, architecture.num_classes),
        source_file=os.path.basename(source),
        source_sha256=sha256_of(source),
        input_convention=convention_of(meta, contents.state, published=keys.published_input),
        classifiers={keys.our_classifier: architecture.anchors},
    )


def _check_complete(source: str | Path, architecture: Architecture, report: KeyReport) -> None:
    if not report.complete:
        raise ConversionError(
            f"{source} looks like {architecture.name}, but does not have all of its tensors and "
            f"no others: {report.counts}\n{report.problems}",
            report,
        )


def _check_finite(source: str | Path, state: dict[str, Tensor]) -> None:
    wrong = [name for name, x in state.items() if x.is_floating_point() and not x.isfinite().all()]
    if wrong:
        raise CheckpointError(
            f"{source} holds NaN or infinite values, so it is damaged or its training diverged: "
            f"{len(wrong)} tensors, first {wrong[0]}"
        )
