"""Matchers: which anchor answers for which ground-truth box."""
