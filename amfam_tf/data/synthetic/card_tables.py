"""Which table of a drawn data set with a card has which columns; a card says it of none that is joined."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from amfam_tf.card.consistency import path_columns
from amfam_tf.card.schema import MODALITIES, DataCard

Rows = Iterable[Mapping[str, str]]


@dataclass(frozen=True)
class Layout:
    """The tables of the cases, and which columns each has.

    Attributes:
        columns: by file; that of the cases comes first.
        keys: by file, the column whose values are one row each.
        pictures: columns of the table of pictures, none if there is no such table.
        metadata_by_group: whether metadata stand in a table with a row for each group.
    """

    columns: Mapping[str, Sequence[str]]
    keys: Mapping[str, str]
    pictures: Sequence[str]
    metadata_by_group: bool

    def rows(self, file: str, fields: Rows) -> Iterator[list[str]]:
        """Gives the rows of a table: of equal keys the first."""
        seen = set()
        for case in fields:
            if case[self.keys[file]] not in seen:
                seen.add(case[self.keys[file]])
                yield [case[column] for column in self.columns[file]]


def layout(card: DataCard) -> Layout:
    """Returns where the columns of a card stand.

    With tables joined by the id, labels and scores are in the first, metadata in the last; with one joined by the
    group, metadata are in that; with a table of pictures they are there.
    """
    rule, table = card.cases, card.cases.table
    keys = {table: rule.id} | {join.table: join.on for join in card.cases.join}
    columns: dict[str, list[str]] = {file: [key] for file, key in keys.items()}
    views = [card.pictures.view(modality) for modality in MODALITIES]
    in_paths = [name for view in views for name in path_columns(view.column, view.path)]
    labels = [name for task in card.tasks for name in task.one_hot or (task.column,)]
    labels += [score.column for score in card.scores.values() if score.column]
    metadata = [column.column or name for name, column in card.metadata.items()]
    by_group = [file for file, key in keys.items() if key == rule.group != rule.id]
    by_case = [file for file, key in keys.items() if file not in by_group and key not in (*labels, *metadata)]
    named = (rule.group, card.split.column.name if card.split.column else None, *keys.values())
    columns[table] += [name for name in named if name is not None]
    columns[by_case[1] if len(by_case) > 1 else table] += labels
    pictures: list[str] = []
    if card.pictures.table is not None:
        pictures = [rule.id, card.pictures.kind or "", *path_columns(card.pictures.column, card.pictures.path)]
        pictures += [name for name in metadata if name not in labels]
    else:
        columns[by_group[0] if by_group else by_case[-1]] += [name for name in metadata if name not in labels]
        placed = {name for names in columns.values() for name in names}
        columns[table] += [name for name in in_paths if name not in placed]
    once = {file: tuple(dict.fromkeys(names)) for file, names in columns.items()}
    return Layout(once, keys, tuple(dict.fromkeys(pictures)), bool(by_group) and not pictures)
