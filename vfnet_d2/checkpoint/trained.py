"""What checkpoints of a training say about themselves, so that predictions need nothing else.

Add it to the checkpointer of the training, and every file that it saves has it::

    metadata = trained_metadata(model, class_names=names, cfg=cfg)
    checkpointer.add_checkpointable(ENTRY, SavedMetadata(metadata))
"""

import logging
from collections.abc import Sequence
from typing import Any, cast

import yaml
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import META_ARCH_REGISTRY
from omegaconf import DictConfig
from torch import nn

from vfnet_d2.checkpoint.convert.architecture import model_name, shapes_of
from vfnet_d2.checkpoint.convert.shipped import configs_for
from vfnet_d2.checkpoint.errors import CheckpointError
from vfnet_d2.checkpoint.lazy_config import UnlistedPartError, lazy_text
from vfnet_d2.checkpoint.metadata import ENTRY, InputConvention, Metadata
from vfnet_d2.config import add_vfnet_config, without_retired_keys
from vfnet_d2.modeling.detector import Detector, is_detector_class

logger = logging.getLogger(__name__)

# What a prediction or another training depends on; not names of datasets and paths.
_SECTIONS = ("MODEL", "INPUT", "TEST", "SOLVER", "TRAINING")
_OF_THE_RUN = ("WEIGHTS", "DEVICE")
# What yaml and yacs raise depends on what they meet first.
_NOT_UNDERSTOOD = (
    yaml.YAMLError,
    *(AssertionError, AttributeError, LookupError, TypeError, ValueError),
)


class SavedMetadata:
    """Metadata as an object that Detectron2's checkpointer saves; loading changes nothing.

    Args:
        metadata: to save.
    """

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata

    def state_dict(self) -> dict[str, Any]:
        """What is saved."""
        return self.metadata.as_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Leave everything as it is: the run that resumes knows its own config."""
        del state


def trained_metadata(
    model: Detector, *, class_names: Sequence[str], cfg: CfgNode | DictConfig | None = None
) -> Metadata:
    """Return what a training should write into its checkpoints.

    Args:
        model: that is trained, without wrappers.
        class_names: K names, in the order of the model's outputs.
        cfg: its YAML config or LazyConfig. Of a LazyConfig with parts that are not in a shipped
            one nothing is recorded, which is logged: its predictions need the config file.

    Raises:
        CheckpointError: another number of names than classes.
    """
    if len(class_names) != model.num_classes:
        raise CheckpointError(
            f"{len(class_names)} class names are given, but the model has {model.num_classes} "
            "classes"
        )
    detector = type(model).__name__
    lazy = _recorded(cfg) if isinstance(cfg, DictConfig) else None
    # A shipped config of the same tensors may be another model than a LazyConfig with own parts.
    unknown = isinstance(cfg, DictConfig) and lazy is None
    name = model_name(shapes_of(cast(nn.Module, model).state_dict()), detector)
    return Metadata(
        architecture=name,
        detector=detector,
        configs=[] if unknown else configs_for(name),
        num_classes=model.num_classes,
        classifier_dropped=False,
        class_names=list(class_names),
        source_file="",
        source_sha256="",
        input_convention=InputConvention(
            model.input_format,
            tuple(model.pixel_mean.flatten().tolist()),
            tuple(model.pixel_std.flatten().tolist()),
            "the training's config",
        ),
        config=config_text(cfg) if isinstance(cfg, CfgNode) else None,
        lazy_config=lazy,
        num_classes_key=model.num_classes_key,
        classifiers=dict(model.classifiers()),
    )


def _recorded(cfg: DictConfig) -> str | None:
    try:
        return lazy_text(cfg)
    except UnlistedPartError as error:
        logger.warning(
            "The checkpoints of this training cannot hold its LazyConfig: %s. Predictions with "
            "them need the config file",
            error,
        )
        return None


def config_text(cfg: CfgNode) -> str:
    """Return the YAML text of what a prediction or another training depends on."""
    chosen = CfgNode({name: cfg[name].clone() for name in _SECTIONS})
    for key in _OF_THE_RUN:
        del chosen.MODEL[key]
    return str(chosen.dump())


def config_from_text(text: str, path: object) -> CfgNode:
    """Return a whole config from :func:`config_text`'s result, without running anything in it.

    Args:
        text: YAML.
        path: of the file it is from, for the message.

    Raises:
        CheckpointError: it is no such text, or has keys that are not known here.
    """
    cfg = add_vfnet_config(get_cfg())
    try:
        cfg.merge_from_other_cfg(without_retired_keys(CfgNode(yaml.safe_load(text))))
    except _NOT_UNDERSTOOD as error:
        raise CheckpointError(
            f"the config in {path} cannot be understood ({error}); was it written by another "
            f"version? Pass the config of its training yourself. It is in the entry {ENTRY!r}"
        ) from error
    return cfg


def has_solver(text: str) -> bool:
    """Return whether :func:`config_text`'s result tells the solver; that of version 1 does not."""
    return "SOLVER" in yaml.safe_load(text)


def set_num_classes(cfg: CfgNode, number: int) -> None:
    """Write a number of classes where the config's detector reads it.

    Raises:
        CheckpointError: the architecture is no detector of this project.
    """
    cls = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    if not is_detector_class(cls):
        raise CheckpointError(
            f"MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE}, which does not say which "
            "key of the config sets its number of classes"
        )
    cfg.merge_from_list([cls.num_classes_key, number])
