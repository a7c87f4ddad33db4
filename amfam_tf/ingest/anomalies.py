"""What is wrong with the data as a whole, or worth knowing: bad rows, leakage, odd pictures, absent classes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import pandas as pd

from amfam_tf.card.schema import MODALITIES, SPLITS, DataCard
from amfam_tf.data import identities
from amfam_tf.data.check import DEFAULT_MIN_SIDE
from amfam_tf.data.stored import CONVERTED, RGB, UNUSABLE
from amfam_tf.ingest.anomaly import SHOWN_ROWS, Anomaly, Severity
from amfam_tf.ingest.case_table import DeadLetter
from amfam_tf.ingest.duplicates import LEAST_CONTRAST, Group
from amfam_tf.ingest.statistics import by_split

DARK, BRIGHT = 20.0, 245.0
"""A picture whose mean grey value, of 255, is below or above these is hardly one of a lesion."""
SHIFT, SHIFT_CASES = 0.5, 30
"""Mean brightness of a split this many standard deviations from that of train; told from so many cases on."""


def find_anomalies(
    table: pd.DataFrame, dead: Sequence[DeadLetter], groups: Sequence[Group], card: DataCard
) -> list[Anomaly]:
    """Returns all findings, problems first.

    Args:
        table: see `amfam_tf.ingest.findings`.
        dead: rows that became no record.
        groups: see `duplicates.find_duplicates`.
        card: of the data.
    """
    found = [*_bad_rows(dead), *_repeated(groups), *_leaking_identities(table), *_shared_files(table)]
    found += [*_missing_pictures(table), *_odd_pictures(table), *_stored(table)]
    found += [*_unknown_labels(table, card), *_absent_classes(table, card), *_brightness_shifts(table)]
    return sorted(found, key=lambda anomaly: anomaly.severity != "problem")


def _about(kind: str, message: str, severity: Severity, rows: Iterable[int]) -> list[Anomaly]:
    """Returns the finding about these rows, none if there are none; {count} in the message is their number."""
    numbers = sorted({int(row) for row in rows})
    if not numbers:
        return []
    text = message.replace("{count}", str(len(numbers)))
    return [Anomaly(kind, text, severity, len(numbers), tuple(numbers[:SHOWN_ROWS]))]


def _bad_rows(dead: Sequence[DeadLetter]) -> list[Anomaly]:
    letters: dict[str, list[DeadLetter]] = defaultdict(list)
    for letter in dead:
        letters[letter.kind].append(letter)
    return [
        Anomaly(
            kind,
            f"left out: {len(of_kind)}; the first: {of_kind[0].reason}",
            "problem",
            len(of_kind),
            tuple(letter.row for letter in of_kind[:SHOWN_ROWS]),
        )
        for kind, of_kind in sorted(letters.items())
    ]


def _repeated(groups: Sequence[Group]) -> list[Anomaly]:
    leaking = [group for group in groups if group.is_leakage]
    repeated = [group for group in groups if not group.is_leakage]
    return [
        *_about(
            "leakage",
            f"{len(leaking)} pictures occur in several splits, the same or nearly, in {{count}} cases",
            "problem",
            (use.row for group in leaking for use in group.uses),
        ),
        *_about(
            "duplicate",
            f"{len(repeated)} pictures occur several times in one split, the same or nearly, in {{count}} cases",
            "note",
            (use.row for group in repeated for use in group.uses),
        ),
    ]


def _leaking_identities(table: pd.DataFrame) -> list[Anomaly]:
    """Returns an anomaly for each column of which a value is in several splits."""
    columns = [column for column in ("row", "split", *identities.COLUMNS) if column in table]
    shared = list(identities.in_several_splits(table[columns].to_dict("records")))
    found = []
    for column, severity in identities.COLUMNS.items():
        of_column = [one for one in shared if one.column == column]
        if of_column:
            values = "1 value" if len(of_column) == 1 else f"{len(of_column)} values"
            text = f"{values} of {column} in several splits, {{count}} cases; the first: {of_column[0]}"
            rows = (row for one in of_column for numbers in one.rows.values() for row in numbers)
            found += _about("leakage", text, severity, rows)
    return found


def _shared_files(table: pd.DataFrame) -> list[Anomaly]:
    message = "{count} cases have the same bytes as clinical and as dermoscopic picture"
    return _about("shared_file", message, "note", table.loc[table["shared_file"], "row"])


def _missing_pictures(table: pd.DataFrame) -> list[Anomaly]:
    message = "{count} cases have no %s picture, which the card allows"
    return [
        one
        for name in MODALITIES
        for one in _about("no_picture", message % name, "note", table.loc[table[f"{name}_digest"] == "", "row"])
    ]


def _unknown_labels(table: pd.DataFrame, card: DataCard) -> list[Anomaly]:
    message = "{count} cases have no known label of %s"
    return [
        one
        for task in card.tasks
        for one in _about("unknown_label", message % task.name, "note", table.loc[table[task.name] < 0, "row"])
    ]


def _odd_pictures(table: pd.DataFrame) -> list[Anomaly]:
    found = []
    for name in MODALITIES:
        side = table[[f"{name}_width", f"{name}_height"]].min(axis=1).where(table[f"{name}_digest"] != "")
        brightness, contrast = table[f"{name}_brightness"], table[f"{name}_contrast"]
        blank = contrast < LEAST_CONTRAST
        pictures: tuple[tuple[str, Severity, str, pd.Series], ...] = (
            ("too_small", "problem", f"a side of less than {DEFAULT_MIN_SIDE} pixels", side < DEFAULT_MIN_SIDE),
            ("blank", "problem", f"contrast below {LEAST_CONTRAST}: it shows nothing", blank),
            ("dark", "note", f"mean brightness below {DARK:.0f} of 255", (brightness < DARK) & ~blank),
            ("bright", "note", f"mean brightness above {BRIGHT:.0f} of 255", (brightness > BRIGHT) & ~blank),
        )
        for kind, severity, text, chosen in pictures:
            found += _about(kind, f"{name} picture of {{count}} cases: {text}", severity, table.loc[chosen, "row"])
    return found


def _stored(table: pd.DataFrame) -> list[Anomaly]:
    """Returns how pictures are stored that are not plain RGB in sRGB; all of them are taken."""
    found = []
    for name in MODALITIES:
        mode, profile, treatment, remark = (
            table[f"{name}_{key}"] for key in ("mode", "profile", "treatment", "remark")
        )
        for kind, chosen, text, values in (
            ("not_rgb", mode != RGB, "not RGB, and taken", mode),
            ("converted_colours", treatment == CONVERTED, "converted to sRGB by the colour profile", profile),
            ("unused_profile", treatment == UNUSABLE, "colour profile not usable, taken for sRGB", profile),
            ("unusual_image", remark != "", "decoded whole, but a strict decoder says", remark),
        ):
            counts = ", ".join(f"{value} {count}" for value, count in Counter(values[chosen]).most_common())
            message = f"{name} picture of {{count}} cases: {text}: {counts}"
            found += _about(kind, message, "note", table.loc[chosen, "row"])
    return found


def _absent_classes(table: pd.DataFrame, card: DataCard) -> list[Anomaly]:
    """Returns the splits without cases and the classes without cases in a split that has some."""
    parts = by_split(table)
    found = [Anomaly("empty_split", f"no case in {split}", "note") for split in SPLITS if split not in parts]
    for split, part in parts.items():
        absent = [
            f"{task.name} {name}"
            for task in card.tasks
            for number, name in enumerate(task.classes)
            if not (part[task.name] == number).any()
        ]
        if absent:
            found.append(Anomaly("absent_class", f"no case in {split} of {', '.join(absent)}", "note"))
    return found


def _brightness_shifts(table: pd.DataFrame) -> list[Anomaly]:
    parts = {split: part for split, part in by_split(table).items() if len(part) >= SHIFT_CASES}
    train = parts.pop("train", None)
    found = []
    for name in MODALITIES if train is not None else ():
        column = f"{name}_brightness"
        mean, deviation = train[column].mean(), train[column].std(ddof=0)
        for split, part in parts.items():
            other = part[column].mean()
            if abs(other - mean) > SHIFT * deviation:
                message = f"{name} pictures have mean brightness {mean:.1f} in train and {other:.1f} in {split}"
                found.append(Anomaly("brightness_shift", message, "note"))
    return found
