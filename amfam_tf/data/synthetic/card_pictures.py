"""Where the pictures of drawn cases lie, by whatever way a card has to say it; which are missing, which are several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from amfam_tf.card.consistency import filled, path_columns
from amfam_tf.card.schema import MODALITIES, DataCard, PictureRule, View
from amfam_tf.data.synthetic.card_cases import PREFIX
from amfam_tf.data.synthetic.streams import stream
from amfam_tf.errors import ConfigError

Paths = dict[str, tuple[str, ...]]
"""By view, paths below the folder of the pictures; () for none."""


@dataclass(frozen=True)
class PlacedPictures:
    """The pictures of one case.

    Attributes:
        paths: of each view.
        fields: what the paths add to the row of the case.
        rows: of the table of pictures, if there is one.
    """

    paths: Paths
    fields: Mapping[str, str]
    rows: Sequence[Mapping[str, str]] = ()


def place_pictures(
    card: DataCard, fields: Sequence[Mapping[str, str]], seed: int, missing: float, several: float
) -> list[PlacedPictures]:
    """Returns where the pictures of each case lie.

    Args:
        card: of the data set.
        fields: of each case, raw value by column.
        seed: of the data set.
        missing: share of the cases without a view that may be missing; no case lacks both.
        several: share of the cases with two pictures of a view that may have several.

    Raises:
        ConfigError: pictures of two cases have one path.
    """
    counts: list[dict[str, int]] = [dict.fromkeys(MODALITIES, 1) for _ in fields]
    order = stream(seed, 0, "card missing").permutation(len(fields)).tolist()
    for modality in MODALITIES:
        view = card.pictures.view(modality)
        more = order[::-1][: _number(several, len(order)) if view.several == "allowed" else 0]
        # From the rest: no case lacks both views.
        lacking = _number(missing, len(fields)) if view.missing == "allowed" else 0
        none, order = order[:lacking], order[lacking:]
        for count, rows in ((2, more), (0, none)):
            for row in rows:
                counts[row][modality] = count
    place = _by_case if card.pictures.table is None else _by_picture
    found = [place(card, case, row, own) for row, (case, own) in enumerate(zip(fields, counts, strict=True))]
    _refuse_shared_paths(card, found)
    return found


def _number(share: float, cases: int) -> int:
    """Returns how many cases a share is: one at least, unless there shall be none."""
    return max(1, round(share * cases)) if share else 0


def _by_case(card: DataCard, case: Mapping[str, str], row: int, counts: Mapping[str, int]) -> PlacedPictures:
    """Returns pictures that columns or templates of the table of cases name."""
    views = {modality: card.pictures.view(modality) for modality in MODALITIES}
    columns = {modality: path_columns(view.column, view.path) for modality, view in views.items()}
    name = f"{PREFIX}{row + 1:07d}"
    made = dict.fromkeys((one for names in columns.values() for one in names if one not in case), name)
    made |= {view.column: f"{modality}/{name}.jpg" for modality, view in views.items() if view.column in made}
    paths: Paths = {}
    for modality, other in zip(MODALITIES, MODALITIES[::-1], strict=True):
        own = [name for name in columns[modality] if name in made and name not in columns[other]]
        template = views[modality].path or ""
        paths[modality] = ()
        if counts[modality] or not (own or "*" in template):
            many = counts[modality] if "*" in template else 1
            values = {**case, **made}
            paths[modality] = tuple(_path(views[modality], values, number + 1) for number in range(max(1, many)))
        elif "*" not in template:
            made[own[0]] = ""
    return PlacedPictures(paths, made)


def _by_picture(card: DataCard, case: Mapping[str, str], row: int, counts: Mapping[str, int]) -> PlacedPictures:
    """Returns pictures that have a row each in a table of their own."""
    rule = card.pictures
    paths: Paths = dict.fromkeys(MODALITIES, ())
    rows = []
    for place, modality in enumerate(MODALITIES):
        kinds = rule.view(modality).values
        for number in range(counts[modality]):
            name = f"{PREFIX}{4 * row + 2 * place + number:07d}"
            made = dict.fromkeys(path_columns(rule.column, rule.path), name)
            made |= {rule.column: f"{modality}/{name}.jpg"} if rule.column else {}
            fields = {**made, **case, rule.kind or "": kinds[(row + number) % len(kinds)]}
            path = _path(rule, fields, number + 1)
            if path not in paths[modality]:
                paths[modality] += (path,)
                rows.append(fields)
    return PlacedPictures(paths, {}, rows)


def _path(rule: View | PictureRule, fields: Mapping[str, str], number: int) -> str:
    """Returns the path of the first or second picture, by column or template."""
    if rule.column:
        return fields[rule.column]
    template = rule.path or ""
    return filled(template, fields, f"{number}.jpg" if template.endswith("*") else str(number))


def _refuse_shared_paths(card: DataCard, found: Sequence[PlacedPictures]) -> None:
    rows: dict[str, int] = {}
    for row, one in enumerate(found):
        for path in (path for paths in one.paths.values() for path in paths):
            if rows.setdefault(path, row) != row:
                raise ConfigError(
                    f"card {card.name}: cases {rows[path]} and {row} have one picture, {path!r}: the template of its "
                    "path needs a column that tells cases apart"
                )
