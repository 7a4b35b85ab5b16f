"""Dense one-stage detectors: the template and its parts."""
