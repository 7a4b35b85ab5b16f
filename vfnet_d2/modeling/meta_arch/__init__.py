"""Meta-architectures: the one-stage template and the detectors made from it."""
