"""All that was found, as one table: a row per record, small enough for the memory of the machine that starts the work.

| column | content |
| --- | --- |
| row, case_num, split, one per task, metadata, clinical, dermoscopic | as in the source |
| clinical_digest, clinical_size, ... | each field of `picture.PictureFacts`, for each modality |
| shared_file | both pictures are the same bytes |
| more | of cases with several pictures of a view: those that are not the first, see `shard.IngestTask`; may be absent |
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from amfam_tf.card.schema import MODALITIES
from amfam_tf.ingest.case_table import Case, DeadLetter


def split_findings(
    cases: Sequence[Case], findings: Iterable[Mapping[str, Any]]
) -> tuple[pd.DataFrame, list[DeadLetter]]:
    """Returns the table of the records and the dead letters of the others.

    Args:
        cases: of the source, in order.
        findings: one for each, in the same order, see `shard.ShardTask`.
    """
    rows, dead = [], []
    for case, finding in zip(cases, findings, strict=True):
        if "reason" in finding:
            dead.append(DeadLetter(case["row"], case["case_num"], finding["kind"], finding["reason"]))
        else:
            rows.append({**case, **_flat(finding)})
    table = pd.DataFrame(rows)
    if rows:
        first, second = (table[f"{name}_digest"] for name in MODALITIES)
        table["shared_file"] = (first == second) & (first != "")
    return table, dead


def _flat(finding: Mapping[str, Any]) -> dict[str, Any]:
    flat = {f"{name}_{key}": value for name in MODALITIES for key, value in finding[name].items()}
    return flat | {key: finding[key] for key in ("more",) if key in finding}
