"""The synthetic shapes dataset."""
