"""Tests of vfnet_d2.utils.noise."""

import warnings

import pytest

from vfnet_d2.utils.noise import silence_libraries


def test_only_the_known_messages_are_hidden() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        silence_libraries()
        warnings.warn("`torch.jit.script` is deprecated.", FutureWarning, stacklevel=1)
        warnings.warn("`torch.jit.trace` is deprecated.", FutureWarning, stacklevel=1)
    assert [str(warning.message) for warning in seen] == ["`torch.jit.trace` is deprecated."]


def test_importing_it_hides_nothing() -> None:
    with pytest.warns(FutureWarning):
        warnings.warn("`torch.jit.script` is deprecated.", FutureWarning, stacklevel=1)
