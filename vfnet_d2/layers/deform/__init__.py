"""Deformable and star convolutions, and their implementations."""
