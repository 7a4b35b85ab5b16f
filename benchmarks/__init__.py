"""What measures speed; not part of the wheel."""
