"""Checkpoints of other projects into ours and back."""
