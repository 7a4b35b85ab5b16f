"""Tests of the project; a package, so that its helpers can be imported by name."""
