"""One predictor in many threads: the answers are those of one call after the other, bit by bit."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from detectron2.data import DatasetMapper
from detectron2.structures import Instances

from tests.helpers.predicting import assert_identical, noise
from tests.helpers.quick_model import quick_config, quick_model
from vfnet_d2.inference.predictor import Predictor

# A thread for each. Not all sizes are equal, so that plans for several grids are made at once.
OPTIONS: list[dict[str, Any]] = [
    {},
    {"score_threshold": 0.3},
    {"score_threshold": 0.0, "soft_nms": "linear"},
    {"soft_nms": "gaussian"},
    {"tta": [(96, 1333), (128, 1333)]},
    {"tile": 96, "batch_size": 3},
    {"amp": "bf16"},
    {"amp": "fp16", "score_threshold": 0.2},
]
ROUNDS = 3


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    cfg = quick_config("INPUT.MIN_SIZE_TEST", 96)
    return Predictor.of_model(quick_model(), DatasetMapper(cfg, is_train=False))


@pytest.fixture
def one_core() -> Any:
    """Threads of this test alone: how many work on one product would change its last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_threads_share_a_predictor_with_options_of_their_own(
    predictor: Predictor, one_core: None
) -> None:
    images = [noise(160 + 16 * index, 128, seed=index) for index in range(len(OPTIONS))]
    barrier = threading.Barrier(len(OPTIONS))

    def predict(index: int) -> list[Instances]:
        barrier.wait()
        return [predictor.predict([images[index]], **OPTIONS[index])[0] for _ in range(ROUNDS)]

    with ThreadPoolExecutor(len(OPTIONS)) as pool:
        # The threads come first: they find no plan or cache that a call before them has filled.
        together = list(pool.map(predict, range(len(OPTIONS))))
    for index, found in enumerate(together):
        (alone,) = predictor.predict([images[index]], **OPTIONS[index])
        for answer in found:
            assert_identical(answer, alone)
    different = {tuple(found[0].scores.tolist()) for found in together}
    assert len(different) == len(OPTIONS)
