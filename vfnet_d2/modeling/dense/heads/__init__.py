"""Dense heads: feature maps in, class scores and box deltas out."""
