"""ExampleGen: the source to a folder of records, by `amfam_tf.ingest.pipeline`.

Beside the records are their statistics, schema and anomalies, which ingest finds while it has each picture in hand.
Only the records make this step's fingerprint: what reads the others takes theirs (see `example_validator.outside`), so
that another statistic trains nothing again.

Whether the source has changed is told by its fingerprint: every row of its table, and the content of every picture. Of
a picture in an object store the store's own checksum is taken, so that nothing is fetched to find that all is the same.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from amfam_tf.beam import urls
from amfam_tf.card import cards
from amfam_tf.card.schema import MODALITIES
from amfam_tf.data.pair_pictures import ALL_PICTURES
from amfam_tf.data.paths import worker_count
from amfam_tf.errors import DataError
from amfam_tf.files import digests, json_file
from amfam_tf.ingest.file_names import STATISTICS_FILE
from amfam_tf.ingest.source import read_source
from amfam_tf.release.configuration import DataPart, ReleaseConfig
from amfam_tf.release.layout import RECORDS
from amfam_tf.release.step import StepOutcome, Work

COUNTED = (f"{RECORDS}/*.tfrecord.gz", f"{RECORDS}/{cards.FILE}")
RESUMABLE = False


def configuration(config: ReleaseConfig) -> DataPart:
    """Returns what decides the records, beside the source's content."""
    return config.data


def outside(config: ReleaseConfig, _: Mapping[str, Path]) -> dict[str, str]:
    """Returns the fingerprint of the source.

    Raises:
        DataError: its table cannot be used.
    """
    urls.ask_stores((config.data.source, config.data.images), config.data.beam_arguments)
    return {"source": source_fingerprint(config.data.source, config.data.images, _card_file(config.data))}


def _card_file(data: DataPart) -> Path | None:
    return None if data.card is None else Path(data.card)


def source_fingerprint(source: str, images: str | None, card: Path | None = None) -> str:
    """Returns the fingerprint of a source's rows and pictures, and of its card; where they are does not count."""
    table = read_source(source, images, card)
    known = table.cases[0] if table.cases else {}
    views = [name for name in (*MODALITIES, *ALL_PICTURES.values()) if name in known]
    paths = sorted({path for case in table.cases for name in views for path in _paths(case[name])})
    with ThreadPoolExecutor(worker_count()) as pool:
        contents = dict(zip(paths, pool.map(_picture_fingerprint, paths), strict=True))
    cases = [{**case, **{name: _each(contents, case[name]) for name in views}} for case in table.cases]
    of_card = {} if cards.is_derm7pt(table.card) else {"card": cards.to_dict(table.card)}
    return digests.of_value({"cases": cases, "dead": [asdict(letter) for letter in table.dead], **of_card})


def _paths(value: Any) -> list[str]:
    """Returns the pictures of a view: one, several, or none."""
    return [str(path) for path in ([value] if isinstance(value, str | Path) else value) if path]


def _each(contents: Mapping[str, str], value: Any) -> Any:
    """Returns the fingerprints of the pictures of a view, in its form."""
    found = [contents[path] for path in _paths(value)]
    return (found or [""])[0] if isinstance(value, str | Path) else found


def _picture_fingerprint(path: str) -> str:
    """Returns what stands for the content of a picture; of one that cannot be read, that it cannot."""
    try:
        return urls.checksum(path) if urls.is_url(path) else digests.of_file(Path(path))
    except (OSError, DataError) as error:
        # Ingest leaves such a row out, and says so; it must not pass for the row with its picture.
        return f"unreadable: {type(error).__name__}"


def run(work: Work) -> StepOutcome:
    """Ingests the source into records, with statistics, schema and anomalies beside them."""
    cases, bad = _ingest(work.config.data, work.out / RECORDS)
    splits = json_file.read(work.out / RECORDS / STATISTICS_FILE)["splits"]
    details = {"cases": cases, "bad": bad, "splits": splits, "source": work.config.data.source}
    counts = ", ".join(f"{count} {split}" for split, count in splits.items())
    return StepOutcome(f"{cases} cases ingested ({counts}), {bad} left out", details=details)


def _ingest(data: DataPart, records: Path) -> tuple[int, int]:
    """Returns the number of records written, and of rows left out."""
    from amfam_tf.ingest import pipeline

    report = pipeline.run(
        data.source,
        str(records),
        images=data.images,
        shards=data.shards,
        max_bad_share=data.max_bad_share,
        beam_arguments=data.beam_arguments,
        card=_card_file(data),
    )
    return report.cases, report.bad
