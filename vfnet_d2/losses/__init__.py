"""Classification losses behind one protocol, and box losses."""
