"""Tests of vfnet_d2.training.loading.loader: Detectron2's order, resumed at any batch."""

import itertools
import logging
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import build_detection_train_loader
from detectron2.data.samplers import TrainingSampler

from vfnet_d2.training.loading.loader import TrainingLoader, build_training_loader
from vfnet_d2.training.loading.sampling import sampler_of_config

# Eleven images, wide and high in no regular order.
DICTS = [
    {"file_name": f"{n}.png", "width": 10 + 7 * n % 5, "height": 12, "annotations": []}
    for n in range(11)
]


def drawing(item: dict[str, Any]) -> dict[str, Any]:
    """A mapper that draws a number from each generator."""
    drawn = [random.random(), float(np.random.rand()), float(torch.rand(()))]
    return {**item, "drawn": drawn}


def plain(item: dict[str, Any]) -> dict[str, Any]:
    return item


def loader(
    *,
    mapper: Callable[[dict[str, Any]], dict[str, Any] | None] = drawing,
    dicts: list[dict[str, Any]] = DICTS,
    **options: Any,
) -> TrainingLoader:
    built = build_training_loader(dicts, mapper=mapper, total_batch_size=3, **options)
    built.seed = 7
    return built


def first(batches: Any, count: int) -> list[Any]:
    return list(itertools.islice(batches, count))


# Without grouping, Detectron2's batches depend on the number of workers.
@pytest.mark.parametrize(("grouping", "workers"), [(True, 0), (True, 2), (False, 0)])
def test_the_batches_are_those_of_detectron2(grouping: bool, workers: int) -> None:
    theirs = build_detection_train_loader(
        DICTS,
        mapper=plain,
        sampler=TrainingSampler(len(DICTS), seed=7),
        total_batch_size=3,
        aspect_ratio_grouping=grouping,
        num_workers=workers,
    )
    ours = loader(mapper=plain, aspect_ratio_grouping=grouping, num_workers=workers)
    assert first(ours, 12) == first(theirs, 12)


@pytest.mark.parametrize("workers", [(0, 0), (2, 2), (0, 2), (2, 0)])
@pytest.mark.parametrize("stop", [0, 1, 5])
def test_a_resumed_order_is_the_uninterrupted_one(stop: int, workers: tuple[int, int]) -> None:
    whole = first(loader(num_workers=0), 9)
    before = loader(num_workers=workers[0])
    assert first(before, stop) == whole[:stop]
    after = loader(num_workers=workers[1])
    after.seed = 8
    iterator = iter(after)  # a trainer has it before the state is read
    after.load_state_dict(before.state_dict())
    assert first(iterator, 9 - stop) == whole[stop:]


def test_what_lies_before_the_position_is_not_loaded() -> None:
    asked = []

    def remembered(item: dict[str, Any]) -> dict[str, Any]:
        asked.append(item["file_name"])
        return item

    ours = loader(mapper=remembered)
    ours.batches = 1000
    first(ours, 1)
    assert len(asked) == 3


def test_no_two_images_share_their_random_numbers() -> None:
    drawn = [tuple(item["drawn"]) for batch in first(loader(), 9) for item in batch]
    assert len(set(drawn)) == 27


def test_the_random_numbers_of_the_training_stay_as_they_are() -> None:
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    for workers in (0, 2):
        first(loader(num_workers=workers), 2)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    # The numbers are taken where the loader is made, for its seed.
    assert after[0] == before[0]
    assert after[2] == before[2]


def test_an_image_that_the_mapper_refuses_is_replaced_by_one_of_its_group() -> None:
    def picky(item: dict[str, Any]) -> dict[str, Any] | None:
        return None if item["file_name"] == "3.png" else item

    batches = first(loader(mapper=picky), 30)
    names = [{item["file_name"] for item in batch} for batch in batches]
    assert not any("3.png" in found for found in names)
    wide = [{item["width"] > item["height"] for item in batch} for batch in batches]
    assert all(len(found) == 1 for found in wide)
    again = loader(mapper=picky)
    again.batches = 10
    assert first(again, 20) == batches[10:]


def test_a_mapper_that_refuses_everything_is_an_error() -> None:
    with pytest.raises(ValueError, match="the dataset mapper returned None for 100 images"):
        first(loader(mapper=lambda item: None), 1)


def test_dicts_without_sizes_are_not_grouped(caplog: pytest.LogCaptureFixture) -> None:
    dicts = [{"file_name": f"{n}.png"} for n in range(4)]
    with caplog.at_level(logging.WARNING):
        first(loader(dicts=dicts), 2)
    assert "no width or height" in caplog.text


def test_another_dataset_has_another_order_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    ours = loader(dicts=DICTS[:-1])
    with caplog.at_level(logging.WARNING):
        ours.load_state_dict({**loader().state_dict(), "batches": 4})
    assert "drawn in a new order" in caplog.text
    assert "images (11 before, 10 now)" in caplog.text
    assert ours.batches == 0


def test_a_batch_that_cannot_be_divided_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from detectron2.utils import comm

    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    with pytest.raises(ValueError, match="3 images cannot be divided among 2 processes"):
        build_training_loader(DICTS, mapper=plain, total_batch_size=3)


@pytest.mark.parametrize("name", ["RepeatFactorTrainingSampler", "RandomSubsetTrainingSampler"])
def test_every_sampler_of_detectron2_can_be_resumed(name: str) -> None:
    cfg = get_cfg()
    cfg.DATALOADER.SAMPLER_TRAIN, cfg.DATALOADER.RANDOM_SUBSET_RATIO = name, 0.7
    cfg.DATALOADER.REPEAT_THRESHOLD = 0.9
    dicts = [{**item, "annotations": [{"category_id": n % 3}]} for n, item in enumerate(DICTS)]
    sampler = sampler_of_config(cfg, dicts)
    whole = first(loader(dicts=dicts, sampler=sampler), 12)
    ours = loader(dicts=dicts, sampler=sampler)
    ours.batches = 8
    assert first(ours, 4) == whole[8:]


def test_an_unknown_sampler_is_refused() -> None:
    cfg = get_cfg()
    cfg.DATALOADER.SAMPLER_TRAIN = "Other"
    with pytest.raises(ValueError, match="SAMPLER_TRAIN is 'Other'; there are TrainingSampler"):
        sampler_of_config(cfg, DICTS)
