"""What a batch prediction has done, counted in its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amfam_tf.batch_predict import shard_file
from amfam_tf.batch_predict.model import ExportedVersion
from amfam_tf.batch_predict.plan import PredictTask


@dataclass(frozen=True)
class BatchReport:
    """What is in the folder of results, and what this call has added.

    Attributes:
        out: the folder.
        model: name of the model.
        version: its number.
        pairs: in all files.
        errors: pairs without an answer, in all files.
        first_error: that of the first such pair; None if there is none.
        shards: number of files.
        done_before: of them, those that an earlier call had written.
        predicted: pairs of the files that this call has written.
        seconds: that this call took for them, loading of the version included.
        notes: what is worth knowing about the source's table.
    """

    out: Path
    model: str
    version: int
    pairs: int
    errors: int
    first_error: str | None
    shards: int
    done_before: int
    predicted: int
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def pairs_per_second(self) -> float:
        """Returns how many pairs this call has predicted in a second; 0 if it had none to predict."""
        return self.predicted / self.seconds if self.predicted else 0.0


def count_results(
    out: Path, version: ExportedVersion, tasks: Sequence[PredictTask], missing: Sequence[PredictTask], seconds: float
) -> BatchReport:
    """Returns the report, after a look at every file.

    Args:
        out: the folder of results.
        version: who answered.
        tasks: of all shards.
        missing: of them, those that this call has done.
        seconds: that it took.

    Raises:
        DataError: a file is damaged or missing; names it.
    """
    counts = {task.shard: shard_file.read_counts(Path(task.out)) for task in tasks}
    with_errors = [task for task in tasks if counts[task.shard].errors]
    return BatchReport(
        out=out,
        model=version.name,
        version=version.number,
        pairs=sum(count.pairs for count in counts.values()),
        errors=sum(count.errors for count in counts.values()),
        first_error=shard_file.first_error(Path(with_errors[0].out)) if with_errors else None,
        shards=len(tasks),
        done_before=len(tasks) - len(missing),
        predicted=sum(counts[task.shard].pairs for task in missing),
        seconds=seconds,
    )
