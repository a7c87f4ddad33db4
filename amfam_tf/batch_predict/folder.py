"""The folder of results: new, or the same batch prediction again; one process at a time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from amfam_tf.batch_predict import plan
from amfam_tf.batch_predict.source import PairSource
from amfam_tf.beam import urls
from amfam_tf.errors import DataError
from amfam_tf.files.locks import locked_folder
from amfam_tf.files.writing import appearing_folder, remove_leftovers


@contextlib.contextmanager
def results_folder(out: str, manifest: plan.Manifest, source: PairSource) -> Iterator[Path]:
    """Gives the folder of results, with its manifest in it, for this process alone.

    It appears under its name when manifest and rows are complete; one that is there must be of the same manifest.

    Raises:
        DataError: it is of something else, in use, in an object store, or cannot be made.
    """
    if urls.is_url(out):
        raise DataError(
            f"{out}: results are written to a folder that this machine and all workers see, and not to an object "
            "store: name such a folder, and copy it when it is complete"
        )
    # Workers need not have this process's working directory.
    path = Path(out).absolute()
    in_use = DataError(f"{path} is in use: another process predicts into it")
    try:
        if not path.exists():
            with appearing_folder(path, in_use) as folder:
                plan.write(manifest, source, folder)
        plan.check_same(plan.read(path), manifest, path)
        with locked_folder(path, in_use):
            remove_leftovers(path)
            yield path
    except OSError as error:
        raise DataError(f"cannot write to {out}: {error.strerror or error}") from error
