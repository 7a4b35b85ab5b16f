"""Detectors made from the template."""
