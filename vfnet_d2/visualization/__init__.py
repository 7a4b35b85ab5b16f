"""Pictures: one palette, one way to draw boxes."""
