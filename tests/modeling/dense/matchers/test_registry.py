"""Tests of vfnet_d2.modeling.dense.matchers.registry."""

from vfnet_d2.modeling.dense.matchers.atss import ATSSMatcher
from vfnet_d2.modeling.dense.matchers.registry import MATCHER_REGISTRY


def test_atss_is_registered() -> None:
    assert MATCHER_REGISTRY.get("ATSSMatcher") is ATSSMatcher
