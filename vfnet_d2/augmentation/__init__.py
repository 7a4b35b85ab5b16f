"""Augmentations that Detectron2 lacks, and the mapper that shows them the boxes."""
