"""Evaluation and pictures of its results."""
