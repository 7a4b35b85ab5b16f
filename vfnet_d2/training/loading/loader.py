"""The training's data loader: order and augmentation follow from a seed and a position alone.

Detectron2's loader draws augmentations from the random state of whichever process loads an image,
and begins its order anew in each process, so a training that is resumed sees other batches than
one that was never interrupted. Here the order of batches is planned from indices, before anything
is loaded, so that a position is reached without loading what lies before it, and every image is
augmented with random numbers of its own position. The number of workers changes neither.
"""

import functools
import logging
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.data import DatasetFromList
from detectron2.utils import comm
from detectron2.utils.serialize import PicklableWrapper
from torch.utils.data import DataLoader, Dataset, Sampler

from vfnet_d2.training.loading.sampling import all_images
from vfnet_d2.training.loading.workers import leave_signals_to_parent
from vfnet_d2.utils.random_numbers import drawn_from

logger = logging.getLogger(__name__)

# Attempts to replace an image that the mapper refuses (returns None for).
_ATTEMPTS = 100

Mapper = Callable[[dict[str, Any]], dict[str, Any] | None]


class Place(NamedTuple):
    """An image of a training.

    Attributes:
        position: in the sequence of all images of all processes.
        image: its index in the dataset.
    """

    position: int
    image: int


class AugmentedImages(Dataset):
    """Loads and augments the image of a place, with the random numbers of its position.

    Args:
        dicts: dataset dicts.
        mapper: loads and augments; may return None for an image it cannot use.
        seed: of the training.
        groups: (images,) of those that may replace each other in a batch.
    """

    def __init__(
        self, dicts: Sequence[dict[str, Any]], mapper: Mapper, *, seed: int, groups: np.ndarray
    ) -> None:
        self._dicts = DatasetFromList(dicts, copy=False)
        self._mapper = PicklableWrapper(mapper)
        self._seed = seed
        self._groups = groups

    def __getitem__(self, place: Place) -> dict[str, Any]:
        """Return the model input of a place.

        Raises:
            ValueError: the mapper refuses every image it is offered.
        """
        index = place.image
        with drawn_from(self._seed, place.position):
            for _ in range(_ATTEMPTS):
                mapped = self._mapper(self._dicts[index])
                if mapped is not None:
                    return mapped
                alike = np.flatnonzero(self._groups == self._groups[place.image])
                index = int(random.choice(alike))
        raise ValueError(
            f"the dataset mapper returned None for {_ATTEMPTS} images, the last of them "
            f"{self._dicts[index].get('file_name')}; it must return model inputs for most"
        )


class TrainingLoader:
    """Batches without end, for one of the training's processes.

    Batches are those of Detectron2's ``build_detection_train_loader`` with the same seed.
    Iteration goes on at ``batches``; nothing is loaded before the first batch is asked for, so a
    state that is loaded until then is followed.

    Args:
        dicts: dataset dicts.
        mapper: makes a model input of a dataset dict.
        sampler: makes Detectron2's sampler, for this process, of a seed.
        batch_size: images of a batch of this process.
        groups: (images,), those of a batch are of one group.
        num_workers: processes that load; 0 loads in this one.
    """

    def __init__(
        self,
        dicts: Sequence[dict[str, Any]],
        *,
        mapper: Mapper,
        sampler: Callable[[int], Sampler],
        batch_size: int,
        groups: np.ndarray,
        num_workers: int,
    ) -> None:
        self.seed = int(comm.shared_random_seed())
        self.batches = 0
        self._images = functools.partial(AugmentedImages, dicts, mapper, groups=groups)
        self._sampler = sampler
        self._batch_size = batch_size
        self._groups = groups
        self._num_workers = num_workers
        self._plan_of = {
            "images": len(dicts),
            "names": zlib.crc32("\n".join(str(d.get("file_name")) for d in dicts).encode()),
            "batch_size": batch_size,
            "processes": comm.get_world_size(),
            "sampler": type(sampler(0)).__name__,
            "groups": int(groups.max()) + 1,
        }

    def planned(self) -> Iterator[list[Place]]:
        """Yield the places of all batches of the training, from its start; loads nothing."""
        rank, processes = comm.get_rank(), comm.get_world_size()
        waiting: dict[int, list[Place]] = {}
        for number, index in enumerate(self._sampler(self.seed)):
            batch = waiting.setdefault(int(self._groups[index]), [])
            batch.append(Place(number * processes + rank, int(index)))
            if len(batch) == self._batch_size:
                yield list(batch)
                batch.clear()

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        """Yield batches; ``batches`` counts those that were handed out."""
        plan = self.planned()
        for _ in range(self.batches):
            next(plan)
        loader = DataLoader(
            self._images(seed=self.seed),
            sampler=(place for batch in plan for place in batch),  # type: ignore[arg-type]
            batch_size=None,  # image by image: workers hold few at a time
            num_workers=self._num_workers,
            collate_fn=_as_it_is,  # type: ignore[arg-type]
            worker_init_fn=leave_signals_to_parent,
            generator=torch.Generator(),  # or workers would be seeded from the training's numbers
        )
        batch: list[dict[str, Any]] = []
        for item in loader:
            batch.append(item)
            if len(batch) == self._batch_size:
                self.batches += 1
                yield batch
                batch = []

    def state_dict(self) -> dict[str, Any]:
        """Return what the order of the next batches follows from."""
        return {"seed": self.seed, "batches": self.batches, **self._plan_of}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the training of the state was, or say why the order starts anew."""
        changed = [
            f"{name.replace('_', ' ')} ({state.get(name)} before, {value} now)"
            for name, value in self._plan_of.items()
            if state.get(name) != value
        ]
        if changed:
            logger.warning(
                "The training images are drawn in a new order: the checkpoint's order was of "
                "another %s",
                ", ".join(changed),
            )
            return
        self.seed, self.batches = int(state["seed"]), int(state["batches"])


def build_training_loader(
    dataset: Sequence[dict[str, Any]],
    *,
    mapper: Mapper,
    total_batch_size: int,
    sampler: Callable[[int], Sampler] | None = None,
    aspect_ratio_grouping: bool = True,
    num_workers: int = 0,
) -> TrainingLoader:
    """Build a loader whose order and augmentation can be resumed.

    Args:
        dataset: dataset dicts.
        mapper: makes a model input of a dataset dict.
        total_batch_size: images of a batch of all processes together.
        sampler: makes a sampler of a seed; None draws all images, shuffled, again and again.
        aspect_ratio_grouping: have batches of wide or of high images only, which need less padding.
        num_workers: processes that load images, for each training process.

    Raises:
        ValueError: the batch cannot be divided among the processes.
    """
    processes = comm.get_world_size()
    if total_batch_size < processes or total_batch_size % processes:
        raise ValueError(
            f"a batch of {total_batch_size} images cannot be divided among {processes} processes; "
            f"set SOLVER.IMS_PER_BATCH (YAML), dataloader.train.total_batch_size (LazyConfig) or "
            f"--batch-size (vfnet train) to a multiple of {processes}"
        )
    return TrainingLoader(
        dataset,
        mapper=mapper,
        sampler=sampler or functools.partial(all_images, len(dataset)),
        batch_size=total_batch_size // processes,
        groups=_groups(dataset) if aspect_ratio_grouping else np.zeros(len(dataset), np.int8),
        num_workers=num_workers,
    )


def _as_it_is(item: dict[str, Any]) -> dict[str, Any]:
    return item


def _groups(dicts: Sequence[dict[str, Any]]) -> np.ndarray:
    """Return 0 for wide images and 1 for others, as Detectron2 does."""
    if not all("width" in item and "height" in item for item in dicts):
        logger.warning(
            "Batches mix wide and high images, because some dataset dicts have no width or height"
        )
        return np.zeros(len(dicts), np.int8)
    return np.array([not item["width"] > item["height"] for item in dicts], np.int8)
