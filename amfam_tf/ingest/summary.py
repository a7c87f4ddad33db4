"""The end of an ingest: what all shards have found, judged, and told in files beside them."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from amfam_tf.card import cards
from amfam_tf.errors import DataError
from amfam_tf.files import json_file
from amfam_tf.files.writing import write_text
from amfam_tf.ingest import output, shard
from amfam_tf.ingest.anomalies import find_anomalies
from amfam_tf.ingest.case_table import CaseTable, DeadLetter
from amfam_tf.ingest.duplicates import find_duplicates
from amfam_tf.ingest.file_names import ANOMALIES_FILE, SCHEMA_FILE, STATISTICS_FILE, STATISTICS_PROTO_FILE
from amfam_tf.ingest.findings import split_findings
from amfam_tf.ingest.report import IngestReport
from amfam_tf.ingest.schema import build_schema, to_text
from amfam_tf.ingest.shard import IngestTask
from amfam_tf.ingest.statistics import statistics
from amfam_tf.ingest.statistics_proto import statistics_proto


def finish(
    source: CaseTable, tasks: Sequence[IngestTask], folder: Path, out: Path, max_bad_share: float
) -> IngestReport:
    """Judges what was found and completes the folder, which still has another name.

    Args:
        source: what was to be read.
        tasks: of the shards, all done.
        folder: that they are in.
        out: name that it will get.
        max_bad_share: share of the rows, in [0, 1], that may become no record.

    Raises:
        DataError: too many rows are bad; they are listed in a file beside `out`.
        OSError: a file cannot be written.
    """
    table, unusable = split_findings(source.cases, shard.read_findings(tasks))
    dead = sorted([*source.dead, *unusable], key=lambda letter: letter.row)
    check_share(dead, source, out, max_bad_share)
    groups = find_duplicates(table)
    anomalies = [*find_anomalies(table, dead, groups, source.card), *source.notes]
    output.write_dead_letters(dead, folder / output.DEAD_LETTER_FILE)
    listed = {"anomalies": [one.to_dict() for one in anomalies], "duplicates": [group.to_dict() for group in groups]}
    json_file.write(folder / STATISTICS_FILE, statistics(table, dead, source.card))
    json_file.write(folder / ANOMALIES_FILE, listed)
    write_text(folder / STATISTICS_PROTO_FILE, to_text(statistics_proto(table, source.card)))
    write_text(folder / SCHEMA_FILE, to_text(build_schema(source.card)))
    if not cards.is_derm7pt(source.card):
        write_text(folder / cards.FILE, cards.to_yaml(source.card))
    shutil.rmtree(folder / shard.WORK_FOLDER)
    return IngestReport(len(table), len(dead), anomalies, out, source.card)


def check_share(dead: Sequence[DeadLetter], source: CaseTable, out: Path, max_bad_share: float) -> None:
    """Ends an ingest that leaves out too much; its dead letters are then in a file beside `out`.

    Raises:
        DataError: more than the share `max_bad_share` of the rows become no record, or all of them.
        OSError: the file cannot be written.
    """
    beside = out.with_name(f"{out.name}.{output.DEAD_LETTER_FILE}")
    if len(dead) <= max_bad_share * source.total and len(dead) < source.total:
        # Of an earlier attempt, which ended badly.
        beside.unlink(missing_ok=True)
        return
    output.write_dead_letters(dead, beside)
    limit = f"at most {max_bad_share:.1%} may" if len(dead) < source.total else "not all may"
    raise DataError(
        f"{len(dead)} of {source.total} rows ({len(dead) / source.total:.1%}) become no record, {limit} "
        f"(--max-bad-share): all are in {beside}; the first: {source.table} row {dead[0].row}: {dead[0].reason}"
    )
