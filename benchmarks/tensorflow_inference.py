"""TensorFlow's side of benchmarks/inference.py: exported versions of a run."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from amfam_tf import config as configuration
from amfam_tf import models
from amfam_tf.data import derm7pt, pipeline, synthetic
from amfam_tf.data.cases import data_fingerprint
from amfam_tf.export.export import export_run
from amfam_tf.export.source import read_source
from amfam_tf.models.lesion_model import LesionModel
from amfam_tf.tasks import DERM7PT, MODALITIES, TASKS
from benchmarks import wire

WARM_UP = 3
SIZE = (384, 256)


class Inference:
    """An exported version that answers pairs of pictures."""

    def make_run(self, run: str, overrides: list[str], data: str, cases: int) -> None:
        """Draws cases and writes a finished run of preset paper with random weights and their batch statistics."""
        run, data = Path(run), Path(data)
        synthetic.write_data_set(data, cases=cases, seed=0, size=SIZE, workers=2)
        frame = derm7pt.read_release(data)
        config = models.resolve(configuration.load("paper", ["model.weights=none", *overrides]))
        # Momentum 0: one batch sets the statistics that inference uses.
        first = dataclasses.replace(config, model=dataclasses.replace(config.model, batch_norm_momentum=0.0))
        network = models.create(config.method, first)
        batch = next(iter(pipeline.evaluation_dataset(frame, first, DERM7PT)))
        network({name: batch[name] for name in MODALITIES}, training=True)
        run.mkdir(parents=True)
        (run / "config.yaml").write_text(configuration.dump(config), encoding="utf-8")
        fingerprint = data_fingerprint(frame, card=DERM7PT)
        (run / "environment.json").write_text(json.dumps({"data_fingerprint": fingerprint}), encoding="utf-8")
        network.save(run / "model.keras")

    def export(self, run: str, base: str, precision: str, onnx: str | None) -> str:
        """Exports a run; returns the version's folder."""
        return str(export_run(Path(run), Path(base), precision=precision, onnx=Path(onnx) if onnx else None).path)

    def weights(self, run: str, to: str) -> dict[str, Any]:
        """Writes a run's weights by path to an .npz file; returns what PyTorch's network is built from."""
        source = read_source(Path(run), False)
        if type(source.network).__name__ != "AMFAM":
            raise ValueError(f"PyTorch's network is AMFAM; the run's is {source.network.name}")
        np.savez(to, **{weight.path: weight.numpy() for weight in network_weights(source.network)})
        backbone = source.network.parts["G"][0]
        return {
            **dataclasses.asdict(source.config.model),
            "filters": list(backbone.stackwise_filters),
            "blocks": list(backbone.stackwise_blocks),
            "image_size": source.config.data.image_size,
            "tasks": {task.name: len(task.classes) for task in TASKS},
            "temperatures": dict(source.temperatures),
        }

    def write_pictures(self, run: str, data: str, cases: int, to: str) -> int:
        """Writes the first pictures of a data set as a run's network sees them; returns their number."""
        config = read_source(Path(run), False).config
        frame = derm7pt.read_release(Path(data)).head(cases)
        batches = list(pipeline.evaluation_dataset(frame, config, DERM7PT))
        pictures = {name: np.concatenate([batch[name] for batch in batches]) for name in MODALITIES}
        np.savez(to, **{name: np.round(255 * values).astype(np.uint8) for name, values in pictures.items()})
        return len(frame)

    def start(self, version: str) -> None:
        """Loads an exported version."""
        self.model = tf.saved_model.load(version)
        self.function = self.model.signatures["predict_images"]

    def load(self, pictures: str) -> None:
        """Reads the pictures to answer, {modality: uint8 [N, S, S, 3]}, from an .npz file."""
        with np.load(pictures) as arrays:
            self.pictures = {name: arrays[name] for name in arrays.files}

    def answers(self, to: str) -> None:
        """Writes the probabilities of all pictures, asked 8 at a time."""
        count = len(next(iter(self.pictures.values())))
        parts = [self._answer(self._rows(start, 8)) for start in range(0, count, 8)]
        np.savez(to, **{task.name: np.concatenate([part[task.name] for part in parts]) for task in TASKS})

    def seconds(self, batch: int, calls: int) -> float:
        """Returns the median seconds of an answer to the first `batch` pairs, arrays in and out."""
        rows, times = self._rows(0, batch), []
        for _ in range(calls + WARM_UP):
            started = time.perf_counter()
            self._answer(rows)
            times.append(time.perf_counter() - started)
        return float(np.median(times[WARM_UP:]))

    def _answer(self, pair: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        answers = self.function(**{name: tf.constant(array) for name, array in pair.items()})
        return {task.name: answers[task.name].numpy() for task in TASKS}

    def _rows(self, start: int, count: int) -> dict[str, np.ndarray]:
        return {name: array[start : start + count] for name, array in self.pictures.items()}


def network_weights(network: LesionModel) -> list:
    """Returns the weights that PyTorch's network has as well."""
    return [weight for weight in network.weights if not weight.path.endswith("/coefficient")]


def main() -> None:
    side = Inference()
    names = ("make_run", "export", "weights", "write_pictures", "start", "load", "answers", "seconds")
    wire.answer({name: getattr(side, name) for name in names})


if __name__ == "__main__":
    main()
