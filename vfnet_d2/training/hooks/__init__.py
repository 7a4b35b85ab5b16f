"""Hooks of the trainer, one behaviour a file."""
