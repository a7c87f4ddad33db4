"""The card of a data set: its questions, where its pairs are, how they are split. docs/cards.md is its reference."""
