"""Checkpoints of a training that say which model and classes they are of."""

from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from omegaconf import DictConfig

from vfnet_d2.checkpoint.checkpointer import CheckedCheckpointer
from vfnet_d2.checkpoint.metadata import ENTRY, Metadata
from vfnet_d2.checkpoint.trained import SavedMetadata, trained_metadata
from vfnet_d2.modeling.detector import is_detector


def save_metadata(
    checkpointer: CheckedCheckpointer,
    *,
    dataset_names: Sequence[str],
    cfg: CfgNode | DictConfig | None = None,
) -> Metadata | None:
    """Make a checkpointer write metadata into every file.

    Args:
        checkpointer: of the model in training.
        dataset_names: training sets, loaded before; the first one names the classes.
        cfg: the config of the training, YAML or LazyConfig.

    Returns:
        what is written; None for models that are no
        :class:`~vfnet_d2.modeling.detector.Detector`, which get nothing.
    """
    model = checkpointer.model
    if not is_detector(model):
        return None
    names: Sequence[str] = MetadataCatalog.get(dataset_names[0]).get("thing_classes") or []
    if len(names) != model.num_classes:
        # Datasets need not name their classes; predictions count them then.
        names = [str(index) for index in range(model.num_classes)]
    metadata = trained_metadata(model, class_names=names, cfg=cfg)
    checkpointer.add_checkpointable(ENTRY, SavedMetadata(metadata))
    return metadata
