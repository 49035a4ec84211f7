"""The table of public ops: rows of calls, and the tests that run every row in every mode."""
