"""Checkpoints: loading with checks, and names of other projects."""
