"""Which small wrong changes of the code the tests see: `make mutants`, or `python -m mutation --help`.

Cosmic Ray makes the mutants and keeps them in one sqlite session per room; a room is a few modules with the quick tests
that have to see a change in them (rooms.toml). by_hand.toml has those that no operator makes, such as two exchanged
columns. Nothing is changed in the working tree: mutants are made in a copy of it.
"""
