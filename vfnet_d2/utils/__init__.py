"""Helpers that know nothing of detection: files, system, names."""
