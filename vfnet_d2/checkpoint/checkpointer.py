"""Loading weights with a check that they belong to the model."""

import logging
import os
from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer

from vfnet_d2.checkpoint.convert.architecture import foreign_project, shapes_of
from vfnet_d2.checkpoint.convert.pairs import COUNTER
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.files import contents_of, read_file
from vfnet_d2.checkpoint.fit import (
    ModelTraits,
    check_complete,
    check_converted,
    check_matches,
    convention_warning,
)
from vfnet_d2.checkpoint.imagenet import (
    ImageNetBackbone,
    check_backbone,
    is_imagenet,
    loading_line,
    rename_imagenet,
)
from vfnet_d2.checkpoint.metadata import ENTRY, Metadata
from vfnet_d2.checkpoint.pickles import check_pickle
from vfnet_d2.checkpoint.saving import check_finite, explained, gone
from vfnet_d2.utils.files import replacing

logger = logging.getLogger(__name__)

# Files that Detectron2 reads in ways of its own: its model zoo's and pycls's.
DETECTRON2_SUFFIXES = (".pkl", ".pyth")
# Where _load_file leaves what _load_model needs beside the tensors.
_IMAGENET = "vfnet_d2 imagenet"
_PATH = "vfnet_d2 path"


class CheckedCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, which refuses files that do not belong to the model.

    Detectron2 warns about names that do not match and goes on; training would start from nothing.

    - A converted file must fit the model in every tensor, but for a classifier it was made
      without. Its metadata are returned by :meth:`load` under "vfnet_d2".
    - An ImageNet backbone in torchvision's or mmdet's names must fill the model's backbone.
    - Any other file must fit at least one parameter.

    Reads ``.safetensors`` too, and never runs code that a file holds. A process that is killed
    while it saves leaves the checkpoint before usable.
    """

    _missing: list[str] = []  # noqa: RUF012
    _unexpected: list[str] = []  # noqa: RUF012
    _folder: tuple[int, int] | None = None

    def save(self, name: str, **kwargs: Any) -> None:
        """Write model and checkpointables to ``name.pth``, whole or not at all.

        Args:
            name: of the file in the output folder.
            kwargs: further entries.

        Raises:
            FloatingPointError: a weight is not finite; the checkpoint before stays the last one.
            SaveError: the file cannot be written; as above. It says why, and what to do.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        content = {"model": self.model.state_dict()}
        content |= {key: saved.state_dict() for key, saved in self.checkpointables.items()}
        content |= kwargs
        target = Path(self.save_dir) / f"{name}.pth"
        check_finite(content, target)
        self.logger.info("Saving checkpoint to %s", target)
        with explained(target, content):
            self._check_folder(target.parent)
            with replacing(target) as scratch:
                torch.save(content, scratch)
            # Only now is there something to resume from.
            self.tag_last_checkpoint(target.name)

    def _check_folder(self, folder: Path) -> None:
        """Raise FileNotFoundError if the folder was there once, and is not any more.

        To make it anew would hide that it was deleted, or that its disk is no longer mounted.
        """
        if self._folder is not None and not folder.is_dir():
            raise FileNotFoundError(gone(folder))
        folder.mkdir(parents=True, exist_ok=True)
        found = folder.stat()
        # Evaluators and writers of logs make it anew.
        if self._folder not in (None, (found.st_dev, found.st_ino)):
            raise FileNotFoundError(gone(folder))
        self._folder = (found.st_dev, found.st_ino)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Let a training resume from a file of the output folder; see Detectron2."""
        with replacing(Path(self.save_dir) / "last_checkpoint") as scratch:
            scratch.write_text(last_filename_basename, encoding="utf-8")

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load a checkpoint.

        Args:
            path: file or URL that Detectron2's ``PathManager`` understands; "" loads nothing.
            args: see Detectron2.
            kwargs: see Detectron2.

        Raises:
            FileNotFoundError: no such file.
            CheckpointError: it cannot be read, or does not belong to the model.
        """
        if path and "://" not in path and not os.path.isfile(path.partition("?")[0]):
            raise FileNotFoundError(
                f"checkpoint {path} does not exist; set MODEL.WEIGHTS (YAML) or "
                'train.init_checkpoint (LazyConfig) to a file, or to "" to start from nothing'
            )
        return super().load(path, *args, **kwargs)

    def start_from(self, path: str) -> None:
        """Start a training from the weights of a file, without the rest of its state.

        Args:
            path: as for :meth:`load`.
        """
        self.load(path, checkpointables=[])

    def load_for_evaluation(self, path: str, *, resume: bool = False) -> dict[str, Any]:
        """Load weights that must exist and be whole: an evaluation of random ones helps nobody.

        Args:
            path: of the weights.
            resume: prefer the last checkpoint of the output folder, if there is one.

        Raises:
            CheckpointError: there is nothing to load, or it does not fit entirely.
            FileNotFoundError: no such file.
        """
        if not path and not (resume and self.has_checkpoint()):
            raise CheckpointError(
                "evaluation and prediction need trained weights: set MODEL.WEIGHTS (YAML) or "
                "train.init_checkpoint (LazyConfig), or --resume with the output folder of a run"
            )
        if resume and self.has_checkpoint():
            path = self.get_checkpoint_file()
        rest = self.resume_or_load(path, resume=resume)
        check_complete(self.model, missing=self._missing, unexpected=self._unexpected, path=path)
        return rest

    def _load_file(self, filename: str) -> dict[str, Any]:
        if filename.endswith(".pkl"):
            check_pickle(filename)
        if filename.endswith(DETECTRON2_SUFFIXES):
            return super()._load_file(filename)
        content = read_file(filename)
        state, rest = contents_of(content, filename)
        project = foreign_project(shapes_of(state))
        if project is not None:
            raise CheckpointError(
                f"{filename} is a checkpoint of {project}. Convert it once, then load the result: "
                f"tools/convert_checkpoint.py {filename} OUT.pth"
            )
        if is_imagenet(list(state)):
            loaded = rename_imagenet(state, filename)
            return {"model": loaded.state, _IMAGENET: loaded, _PATH: filename}
        # Detectron2 main matches names by similarity where the path ends in this query.
        url = getattr(self, "_parsed_url_during_load", None)
        if url is not None and "matching_heuristics=True" in url.query:
            rest["matching_heuristics"] = True
        return {**rest, "model": state, _PATH: filename}

    def _load_model(self, checkpoint: Any) -> Any:
        path = checkpoint.pop(_PATH, "the checkpoint")
        imagenet: ImageNetBackbone | None = checkpoint.pop(_IMAGENET, None)
        shapes = shapes_of(self.model.state_dict())
        metadata = None
        if imagenet is not None:
            check_backbone(imagenet, shapes, path)
        elif ENTRY in checkpoint:
            metadata = Metadata.from_dict(checkpoint[ENTRY], path)
            found_shapes = shapes_of(checkpoint["model"])
            traits = ModelTraits.of(self.model)
            check_converted(metadata, found_shapes, shapes, path, traits=traits)
        found = list(checkpoint["model"])
        incompatible = super()._load_model(checkpoint)
        mismatched = [name for name, *_ in incompatible.incorrect_shapes]
        # What has another shape is in both lists.
        self._missing = list(dict.fromkeys([*incompatible.missing_keys, *mismatched]))
        self._unexpected = list(incompatible.unexpected_keys)
        check_matches(self.model, found, incompatible)
        if imagenet is not None:
            fresh = [name for name in incompatible.missing_keys if not name.endswith(COUNTER)]
            logger.info(loading_line(imagenet, fresh, path))
            incompatible.missing_keys.clear()
        if metadata is not None:
            self._report(metadata, path)
        _forget_counters(incompatible)
        return incompatible

    def _report(self, metadata: Metadata, path: str) -> None:
        origin = f", converted from {metadata.source_file}" if metadata.source_file else ""
        logger.info("%s: %s%s", path, metadata.architecture, origin)
        if metadata.classifier_dropped:
            logger.info("%s has no classifier: the model's starts afresh", path)
        warning = convention_warning(metadata, self.model, path)
        if warning:
            logger.warning(warning)


def _forget_counters(incompatible: Any) -> None:
    """Say nothing of BN's counters, which frozen layers have in one Detectron2 alone."""
    for names in (incompatible.missing_keys, incompatible.unexpected_keys):
        names[:] = [name for name in names if not name.endswith(COUNTER)]
