"""Backbones that Detectron2 lacks, or builds differently."""
