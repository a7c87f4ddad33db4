"""Finished runs of a few weights on the hospital's twelve lesions, each with another fold left out or another seed."""

from pathlib import Path

from small import make_weights_all_different, small_config
from toy_method import SMALL

from amfam_tf import models
from amfam_tf.card.inputs import inputs_of
from amfam_tf.data.cases import read
from amfam_tf.files.digests import file_digest
from amfam_tf.runs.folder import RunFolder, RunState


def write_member(run: Path, data: Path, *overrides: str, seed: int = 0, fold: int | None = None) -> Path:
    """Writes a run folder of the method "toy", which must be registered, and returns it."""
    chosen = (f"data.fold={'null' if fold is None else fold}", f"seed={seed}", *overrides)
    config = models.resolve(small_config(*chosen, method="toy", sizes=SMALL))
    found = read(data)
    network = models.create("toy", config, found.card.tasks, inputs_of(found.card, config.model.metadata))
    make_weights_all_different(network, seed + 10 * (fold or 0))
    folder = RunFolder(run)
    folder.checkpoints.mkdir(parents=True)
    folder.begin(config, {"data_fingerprint": found.used(config.data).fingerprint}, found.card)
    network.save(folder.model_file)
    folder.write_state(RunState(epochs=1, finished=True, model_sha256=file_digest(folder.model_file)))
    return run
