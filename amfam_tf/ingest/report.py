"""What an ingest found, in few words: for the terminal and for whoever decides on it."""

from dataclasses import dataclass
from pathlib import Path

from amfam_tf.card.schema import DataCard
from amfam_tf.ingest.anomaly import Anomaly


@dataclass(frozen=True)
class IngestReport:
    """The outcome of an ingest that ended well.

    Attributes:
        cases: records written.
        bad: rows left out, each with its reason in dead_letter.jsonl.
        anomalies: what is wrong with the data or worth knowing, problems first.
        out: the folder of records.
        card: of the data.
    """

    cases: int
    bad: int
    anomalies: list[Anomaly]
    out: Path
    card: DataCard
