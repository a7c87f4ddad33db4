"""Two versions that answer differently, and what each answers: the judge of every response."""

import io
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amfam_tf import child_process

TOLERANCE = 1e-3
"""Of a probability: a batch of other rows, or other threads, may round otherwise."""
CASES = 12
LETTERS = ("A", "B")


@dataclass(frozen=True)
class Question:
    """A request whose answers are known.

    Attributes:
        signature: that it is for.
        inputs: by name, arrays.
        answers: by letter of the model, outputs by name.
    """

    signature: str
    inputs: Mapping[str, np.ndarray]
    answers: Mapping[str, Mapping[str, np.ndarray]]

    def differences(self, letter: str, outputs: Mapping[str, np.ndarray]) -> list[str]:
        """Returns the names of the outputs that are not the expected ones."""
        expected = self.answers[letter]
        if expected.keys() != outputs.keys():
            return sorted(expected.keys() ^ outputs.keys())
        return [name for name, value in expected.items() if not _same(value, np.asarray(outputs[name]))]


def _same(expected: np.ndarray, found: np.ndarray) -> bool:
    return expected.shape == found.shape and bool(np.allclose(expected, found, rtol=0, atol=TOLERANCE))


def make_models(folder: Path) -> dict[str, Path]:
    """Draws a data set, fits two small models and exports each; returns their version folders by letter.

    A folder that has them already is used as it is.
    """
    _run("synth", "--out", folder / "drawn", "--cases", "60", "--size", "128x96", done=folder / "drawn")
    for seed, letter in enumerate(LETTERS):
        run, base = folder / f"run_{letter}", folder / f"model_{letter}"
        words = ("--preset", "tiny", "--set", "training.epochs=2", "--set", f"seed={seed}")
        _run("fit", "--data", folder / "drawn", "--run", run, *words, done=run / "model.keras")
        _run("export", run, "--out", base, done=base / "1")
    return {letter: folder / f"model_{letter}" / "1" for letter in LETTERS}


def _run(*words: object, done: Path) -> None:
    if done.exists():
        return
    process = child_process.start("amfam_tf", list(map(str, words)))
    try:
        status = process.wait()
    finally:
        child_process.close_lifeline(process)
    if status:
        raise subprocess.CalledProcessError(status, words)


def read_pictures(drawn: Path) -> list[tuple[bytes, bytes]]:
    """Returns the files of the first cases, clinical and dermoscopic."""
    from amfam_tf.data.derm7pt import read_release

    frame = read_release(drawn).head(CASES)
    pairs = zip(frame["clinical"], frame["dermoscopic"], strict=True)
    return [(Path(clinical).read_bytes(), Path(dermoscopic).read_bytes()) for clinical, dermoscopic in pairs]


def make_questions(models: Mapping[str, Path], pictures: Sequence[tuple[bytes, bytes]]) -> list[Question]:
    """Returns requests of all signatures, one to three cases each, with the answers of the models."""
    import tensorflow as tf

    loaded = {letter: tf.saved_model.load(str(path)) for letter, path in models.items()}
    questions = []
    for signature, inputs in _inputs(pictures):
        answers = {}
        for letter, model in loaded.items():
            function = model.signatures[signature]
            given = {
                name: tf.constant(value.tolist() if value.dtype == object else value) for name, value in inputs.items()
            }
            answers[letter] = {name: value.numpy() for name, value in function(**given).items()}
        questions.append(Question(signature, inputs, answers))
    return questions


def _inputs(pictures: Sequence[tuple[bytes, bytes]]) -> list[tuple[str, dict[str, np.ndarray]]]:
    found: list[tuple[str, dict[str, np.ndarray]]] = []
    for first in range(0, len(pictures) - 2, 2):
        one, three = pictures[first : first + 1], pictures[first : first + 3]
        found += [("serving_default", _files(one)), ("serving_default", _files(three))]
        found.append(("predict_images", _arrays(one)))
        found.append(("predict_examples", {"examples": np.array([_example(*pair) for pair in three], object)}))
    asked = {"task": np.array([b"DIAG"], object), "class_name": np.array([b"MEL"], object)}
    found.append(("explain", {**_files(pictures[:1]), **asked}))
    return found


def _files(pairs: Sequence[tuple[bytes, bytes]]) -> dict[str, np.ndarray]:
    clinical, dermoscopic = zip(*pairs, strict=True)
    return {"clinical": np.array(clinical, object), "dermoscopic": np.array(dermoscopic, object)}


def _arrays(pairs: Sequence[tuple[bytes, bytes]]) -> dict[str, np.ndarray]:
    from PIL import Image

    def pixels(files: Sequence[bytes]) -> np.ndarray:
        return np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files])

    return {name: pixels(files) for name, files in _files(pairs).items()}


def _example(clinical: bytes, dermoscopic: bytes) -> bytes:
    import tensorflow as tf

    def feature(value: bytes) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = {"clinical": feature(clinical), "dermoscopic": feature(dermoscopic)}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Writes the figures of a soak."""
    path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
