"""Tests of vfnet_d2.finetune.recipe: every number worked out by hand."""

from typing import Any

import pytest
from detectron2.config import CfgNode

from vfnet_d2.finetune.recipe import Wishes, apply_recipe, make_recipe, recipe_text
from vfnet_d2.model_zoo import get_config


@pytest.fixture
def published() -> CfgNode:
    """LR 0.01 for 16 images of 800 pixels, 90,000 iterations, falling at 60,000 and 80,000."""
    return get_config("vfnet_R_50_1x")


def numbers(base: CfgNode, wishes: Wishes | None = None, **options: Any) -> dict[str, Any]:
    given = options.pop("given", {})
    rows = make_recipe(base, given, wishes or Wishes(), **{"num_images": 4000, **options})
    return {key: value for row in rows for key, value in row.values.items()}


def test_the_published_recipe_on_a_small_dataset(published: CfgNode) -> None:
    assert numbers(published) == {
        "SOLVER.IMS_PER_BATCH": 2,  # 2 images of 800 pixels a process
        "SOLVER.BASE_LR": 0.00125,  # 0.01 x 2/16
        "SOLVER.MAX_ITER": 24000,  # 12 x 4000 / 2
        "SOLVER.WARMUP_ITERS": 500,  # below 24000 / 10
        "SOLVER.STEPS": (16000, 21333),  # 24000 x 6/9 and x 8/9
        "TEST.EVAL_PERIOD": 2000,  # 4000 / 2
        "SOLVER.CHECKPOINT_PERIOD": 2000,
    }


def test_eight_gpus_train_with_the_published_batch_and_rate(published: CfgNode) -> None:
    found = numbers(published, processes=8)
    assert (found["SOLVER.IMS_PER_BATCH"], found["SOLVER.BASE_LR"]) == (16, 0.01)


def test_accumulated_batches_count_in_the_rate_and_the_length(published: CfgNode) -> None:
    found = numbers(published, Wishes(epochs=3, batch_size=4, accumulate=2))
    assert found["SOLVER.IMS_PER_BATCH"] == 4
    assert found["SOLVER.BASE_LR"] == 0.005  # 0.01 x (4 x 2)/16
    assert found["SOLVER.MAX_ITER"] == 1500  # 3 x 4000 / (4 x 2)
    assert found["SOLVER.WARMUP_ITERS"] == 150  # 1500 / 10
    assert found["TEST.EVAL_PERIOD"] == 500  # 4000 / (4 x 2)


def test_the_rate_of_a_training_that_accumulated_is_of_all_its_images(published: CfgNode) -> None:
    published.TRAINING.ACCUMULATE = 2
    found = numbers(published, Wishes(epochs=3, batch_size=4))
    assert found["SOLVER.BASE_LR"] == 0.00125  # 0.01 x 4/(16 x 2)


def test_adamw_and_small_images() -> None:
    # AdamW and a cosine, 8 images of 160 to 224 pixels; 2 x (800/192)^2 = 34 would fit.
    base = get_config("quick/vfnet_shapes")
    base.SOLVER.BASE_LR = 0.004
    found = numbers(base, Wishes(epochs=1), num_images=7)
    assert found["SOLVER.IMS_PER_BATCH"] == 8
    assert found["SOLVER.MAX_ITER"] == 1  # 7/8, rounded up
    assert found["SOLVER.WARMUP_ITERS"] == 0
    assert "SOLVER.STEPS" not in found  # a cosine has none
    found = numbers(base, Wishes(batch_size=2))
    assert found["SOLVER.BASE_LR"] == pytest.approx(0.002)  # 0.004 x sqrt(2/8)


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ((160,), 224, (160, 224)),
        ((480, 960), 1200, (480, 1200)),
        ((480, 960), 320, (320, 960)),
        ((800,), 800, None),
        ((480, 960), 800, None),
        ((160,), 0, None),  # Detectron2's 0: tested at the image's own size
    ],
)
def test_the_size_of_the_test_is_trained_too(
    train: tuple[int, ...], test: int, expected: tuple[int, int] | None
) -> None:
    base = get_config("quick/vfnet_shapes")
    base.INPUT.MIN_SIZE_TRAIN, base.INPUT.MIN_SIZE_TEST = train, test
    found = numbers(base)
    assert found.get("INPUT.MIN_SIZE_TRAIN") == expected
    assert found.get("INPUT.MIN_SIZE_TRAIN_SAMPLING") == ("range" if expected else None)


@pytest.mark.parametrize("key", ["INPUT.MIN_SIZE_TRAIN", "INPUT.MIN_SIZE_TRAIN_SAMPLING"])
def test_given_image_sizes_stay(key: str) -> None:
    base = get_config("quick/vfnet_shapes")
    given = {key: {"INPUT.MIN_SIZE_TRAIN": (96,)}.get(key, "choice")}
    assert not {"INPUT.MIN_SIZE_TRAIN", "INPUT.MIN_SIZE_TRAIN_SAMPLING"} & set(
        numbers(base, given=given)
    )


def test_a_tiny_dataset_gets_enough_iterations_and_few_validations(published: CfgNode) -> None:
    found = numbers(published, num_images=20)
    assert found["SOLVER.MAX_ITER"] == 1000  # not 12 x 20 / 2 = 120
    assert found["TEST.EVAL_PERIOD"] == 50  # 1000 / 20, not 20 / 2


def test_epochs_that_are_asked_for_are_not_stretched(published: CfgNode) -> None:
    assert numbers(published, Wishes(epochs=2), num_images=20)["SOLVER.MAX_ITER"] == 20


def test_no_rule_changes_what_is_given(published: CfgNode) -> None:
    given = {
        "SOLVER.IMS_PER_BATCH": 3,
        "SOLVER.BASE_LR": 0.5,
        "SOLVER.MAX_ITER": 77,
        "SOLVER.WARMUP_ITERS": 5,
        "SOLVER.STEPS": (10, 20),
        "TEST.EVAL_PERIOD": 0,
        "SOLVER.CHECKPOINT_PERIOD": 9,
    }
    assert numbers(published, given=given) == given


def test_the_table_tells_each_rule(published: CfgNode) -> None:
    text = recipe_text(make_recipe(published, {}, Wishes(), num_images=4000))
    assert "0.00125  0.01 x 2/16, in proportion to the batch, for SGD" in text
    assert "16,000 21,333  66.7% and 88.9% of the training" in text
    assert "24,000  12 epochs x 4,000 images / 2" in text


def test_the_numbers_reach_the_config(published: CfgNode) -> None:
    apply_recipe(published, make_recipe(published, {}, Wishes(accumulate=2), num_images=4000))
    assert published.SOLVER.BASE_LR == 0.0025  # 0.01 x (2 x 2)/16
    assert published.SOLVER.STEPS == (8000, 10667)  # 12000 x 6/9 and x 8/9


@pytest.mark.parametrize(
    ("wishes", "options", "words"),
    [
        (Wishes(batch_size=2), {"processes": 4}, "2 images .* 4 processes: set --batch-size"),
        (Wishes(batch_size=6), {"processes": 4}, "a multiple of 4"),
        (Wishes(epochs=0), {}, "--epochs 0 must be above 0"),
        (Wishes(lr=float("inf")), {}, "--lr inf"),
        (Wishes(), {"num_images": 0}, "no image to train on"),
    ],
)
def test_what_cannot_be_is_refused(
    published: CfgNode, wishes: Wishes, options: dict, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        numbers(published, wishes, **options)
