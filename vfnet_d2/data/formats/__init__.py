"""Readers and writers of annotation formats; import the defining module."""
