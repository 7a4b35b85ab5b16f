"""Building blocks that know nothing of targets: star convolution, scales, towers, norms."""
