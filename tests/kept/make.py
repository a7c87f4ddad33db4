"""Makes kept.zip and answers.json: `python tests/kept/make.py FOLDER` fits, evaluates and exports for real, only small.

Everything is as `amfam-tf fit`, `evaluate` and `export` leave it, but for what keeps it small (a backbone of two
convolutions, sample pictures of a few pixels, no curves, checkpoints and figures), and for the weights: drawn anew, all
of them different, so that every part counts in the answers. The pictures are noise.
"""

import dataclasses
import json
import sys
import tempfile
import zipfile
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent))

import keras
import numpy as np
import tensorflow as tf
from releases import TinyRelease
from rich.console import Console
from small import make_weights_all_different, small_config
from tiny_backbone import tiny_backbone

from amfam_tf.data import images
from amfam_tf.evaluation.run import evaluate_run
from amfam_tf.export import samples
from amfam_tf.export.export import export_run
from amfam_tf.files.digests import file_digest
from amfam_tf.models import backbones
from amfam_tf.runs.folder import RunFolder
from amfam_tf.tasks import DERM7PT
from amfam_tf.training.run import fit

OVERRIDES = (
    "model.decoder_channels=[4, 4, 4]",
    "model.discriminator_units=4",
    "model.classifier_units=8",
    "training.epochs=2",
    "training.batch_size=16",
)
SAMPLE_SIZE = (32, 24)
RUN_FILES = (
    "config.yaml",
    "environment.json",
    "history.csv",
    "model.keras",
    "calibration.json",
    "checkpoints/state.json",
    "evaluation/test/metrics.json",
    "evaluation/test/predictions.csv",
)


def main(out: Path) -> None:
    """Writes both files."""
    backbone = backbones.BackboneSpec("resnet", tiny_backbone)
    with (
        tempfile.TemporaryDirectory() as place,
        mock.patch.dict(backbones.BACKBONES, {"resnet14_narrow": backbone}),
        mock.patch.object(samples, "SIZE", SAMPLE_SIZE),
    ):
        folder = Path(place)
        release = TinyRelease(cases=160, pixels=(64, 64)).write(folder / "release")
        run = folder / "run"
        fit(release, run, small_config(*OVERRIDES), Console(quiet=True))
        draw_weights(RunFolder(run))
        evaluate_run(run, release, "test")
        version = export_run(run, folder / "lesions").path
        exported = sorted(path for path in version.rglob("*") if path.is_file())
        pack(out / "kept.zip", folder, [*(run / name for name in RUN_FILES), *exported])
        (out / "answers.json").write_text(json.dumps(answers(run), indent=1) + "\n", encoding="utf-8")


def draw_weights(run: RunFolder) -> None:
    """Gives a finished run other weights, as if its fit had ended with them."""
    network = keras.saving.load_model(run.model_file, compile=False)
    make_weights_all_different(network)
    network.save(run.model_file)
    run.write_state(dataclasses.replace(run.read_state(), model_sha256=file_digest(run.model_file)))


def answers(run: Path) -> dict[str, list[float]]:
    """Returns {task: probabilities} of the network for the pair that the samples have as pixels."""
    network = keras.saving.load_model(run / "model.keras", compile=False).inference_model()
    temperatures = json.loads((run / "calibration.json").read_text(encoding="utf-8"))["temperatures"]
    pair = samples.sample_inputs(DERM7PT)["predict_images"]
    squares = {name: images.resize_to_square(pair[name], network.input[name].shape[1]) for name in network.input}
    logits = network({name: images.to_unit_range(square) for name, square in squares.items()}, training=False)
    return {
        name: np.round(tf.nn.softmax(values[0] / temperatures[name]).numpy().astype(float), 8).tolist()
        for name, values in logits.items()
    }


def pack(archive: Path, root: Path, files: list[Path]) -> None:
    """Writes an archive whose bytes depend on the files alone."""
    with zipfile.ZipFile(archive, "w") as target:
        for path in files:
            target.writestr(zipfile.ZipInfo(path.relative_to(root).as_posix()), path.read_bytes(), zipfile.ZIP_LZMA)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
