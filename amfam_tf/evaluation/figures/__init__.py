"""The figures of an evaluation: one file per kind; `write.py` has their list."""
