"""Fixtures shared by the tests."""

import copy
import os
import random
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.devices import skip_without_gpu
from tests.helpers.reference import DATA, Reference, build_reference_model

# Detectron2's report on the environment imports setuptools by way of this. Where warnings are
# errors, one inside setuptools makes it fall back on Python's own distutils, which is deprecated:
# whichever test came first would fail.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch.utils.cpp_extension


def pytest_configure() -> None:
    # Processes of pytest-xdist share the cores, so one thread is the rule. Sums come out otherwise
    # with more; no test may depend on it: VFNET_TEST_THREADS=4 runs the suite with four.
    torch.set_num_threads(int(os.environ.get("VFNET_TEST_THREADS", "1")))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # What takes long starts first, or the last worker would run it alone. Random order otherwise.
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    skip_without_gpu(item)


def seed_everything() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef) -> None:
    # A fixture shared by several tests is made before ``_seed`` runs for the first of them; without
    # this its weights would depend on which tests ran before.
    if fixturedef.scope != "function":
        seed_everything()


@pytest.fixture(autouse=True)
def _seed() -> None:
    seed_everything()


@pytest.fixture
def float64() -> Iterator[None]:
    """New tensors and layers are of float64: the order of additions does not show."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="session")
def components() -> dict[str, np.ndarray]:
    """Reference values of single functions: losses, IoU, star offsets, ATSS."""
    with np.load(DATA / "components.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="session")
def reference() -> Reference:
    """Stored results of the reference VFNet R-50."""
    return Reference(DATA / "vfnet_r50_fpn.npz")


@pytest.fixture(scope="session")
def reference_model(reference: Reference) -> nn.Module:
    """Our R-50 filled like the reference, in float32; leave it as it is."""
    return build_reference_model(reference).eval()


@pytest.fixture(scope="session")
def reference_model64(reference_model: nn.Module) -> nn.Module:
    """The same in float64; leave it as it is."""
    return copy.deepcopy(reference_model).double()
