"""Checking datasets before training; import the defining module."""
