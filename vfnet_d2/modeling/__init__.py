"""Detectors, their heads, matchers, backbones and post-processing."""
