"""Datasets, readers and augmentations; import the defining module."""
