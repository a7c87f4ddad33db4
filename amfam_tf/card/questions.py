"""One question that a network answers: the classes in number order, and which raw labels belong to each."""

from dataclasses import dataclass

from amfam_tf.errors import DataError


@dataclass(frozen=True)
class Task:
    """One of the questions that the model answers.

    Attributes:
        name: abbreviation, e.g. "PN"; the key of labels, logits and probabilities everywhere.
        title: the name to show to people, e.g. "pigment network".
        column: of the table of cases that holds the label; "" if each class has a column of its own.
        classes: class abbreviations; the position is the class number.
        scores: points that each class adds to the first score of the card, such as the 7-point score; 0 in no score.
        raw_labels: for each class, the raw strings of `column` that belong to it.
        class_titles: for each class, the name to show to people.
        one_hot: the columns with 1 for the class and 0 for the others, in the order of the classes; () if `column`.
        missing: raw values that mean that nobody knows.
    """

    name: str
    title: str
    column: str
    classes: tuple[str, ...]
    scores: tuple[int, ...]
    raw_labels: tuple[tuple[str, ...], ...]
    class_titles: tuple[str, ...]
    one_hot: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def encode(self, raw: str) -> int:
        """Returns the class number of a raw string.

        Raises:
            DataError: the string is in no group.
        """
        for number, group in enumerate(self.raw_labels):
            if raw in group:
                return number
        raise DataError(f"column {self.column!r}: value {raw!r} is in no class of task {self.name}")
