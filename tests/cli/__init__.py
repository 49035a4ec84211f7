"""Tests of the command `rillet`."""
