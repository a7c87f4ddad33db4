"""The end of an ingest: what all shards have found, judged, told and written beside them."""

import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from amfam_tf.errors import DataError
from amfam_tf.ingest import output, shard
from amfam_tf.ingest.anomaly import SHOWN_ROWS, Anomaly
from amfam_tf.ingest.report import IngestReport
from amfam_tf.ingest.shard import ShardTask
from amfam_tf.ingest.source import DeadLetter, Source


def finish(source: Source, tasks: Sequence[ShardTask], folder: Path, out: Path, max_bad_share: float) -> IngestReport:
    """Judges what was found and completes the folder, which still has another name.

    Raises:
        DataError: too many rows are bad; they are listed in a file beside `out`.
        OSError: a file cannot be written.
    """
    numbers = {case["row"]: case["case_num"] for case in source.cases}
    dead = list(source.dead)
    for finding in shard.read_findings(tasks):
        if "reason" in finding:
            row = finding["row"]
            dead.append(DeadLetter(row, numbers[row], finding["kind"], finding["reason"]))
    dead.sort(key=lambda letter: letter.row)
    _check_share(dead, source, out, max_bad_share)
    output.write_dead_letters(dead, folder / output.DEAD_LETTER_FILE)
    shutil.rmtree(folder / shard.WORK_FOLDER)
    return IngestReport(source.total - len(dead), len(dead), [*bad_rows(dead), *source.notes], out)


def bad_rows(dead: Sequence[DeadLetter]) -> list[Anomaly]:
    """Returns an anomaly per kind of dead letter."""
    rows: dict[str, list[DeadLetter]] = defaultdict(list)
    for letter in dead:
        rows[letter.kind].append(letter)
    return [
        Anomaly(
            kind,
            f"{len(letters)} left out, the first one: {letters[0].reason}",
            "problem",
            len(letters),
            tuple(letter.row for letter in letters[:SHOWN_ROWS]),
        )
        for kind, letters in sorted(rows.items())
    ]


def _check_share(dead: Sequence[DeadLetter], source: Source, out: Path, max_bad_share: float) -> None:
    beside = out.with_name(f"{out.name}.{output.DEAD_LETTER_FILE}")
    if len(dead) <= max_bad_share * source.total and len(dead) < source.total:
        # Of an earlier attempt, which ended badly.
        beside.unlink(missing_ok=True)
        return
    output.write_dead_letters(dead, beside)
    share = len(dead) / source.total
    raise DataError(
        f"{len(dead)} of {source.total} rows ({share:.1%}) become no record, and at most {max_bad_share:.1%} may: "
        f"all are in {beside}; the first: {source.table} row {dead[0].row}: {dead[0].reason}"
    )
