"""Run folders around a small network with random weights, to export without training; pictures to send."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from small import SMALL, make_weights_all_different, small_config

from amfam_tf import config as configuration
from amfam_tf import models
from amfam_tf.card import cards
from amfam_tf.card.inputs import MetadataInput, inputs_of, number_places, width
from amfam_tf.card.schema import DataCard
from amfam_tf.files.digests import file_digest
from amfam_tf.layers import Standardise
from amfam_tf.models.lesion_model import LesionModel
from amfam_tf.runs import calibration
from amfam_tf.runs.folder import RunFolder, RunState
from amfam_tf.tasks import DERM7PT, task_names

FINGERPRINT = "f" * 64
BORDER_CROP = 3
MAX_PIXELS = 20_000
OVERRIDES = (f"data.border_crop={BORDER_CROP}", f"data.max_pixels={MAX_PIXELS}")
CALIBRATED = {name: 5.0 + number for number, name in enumerate(task_names())}
METRICS = {
    "split": "test",
    "cases": 40,
    "average": {"accuracy": 0.6},
    "tasks": {"DIAG": {"accuracy": 0.5, "accuracy_ci95": [0.4, 0.6]}},
}


@dataclass(frozen=True)
class Version:
    """An exported version, the run that it comes from, and the run's network."""

    run: Path
    path: Path
    network: LesionModel


def small_network(
    *overrides: str,
    method: str = "amfam",
    seed: int = 0,
    card: DataCard = DERM7PT,
    sizes: tuple[str, ...] = SMALL,
) -> LesionModel:
    """Returns a network whose weights are all different and whose logits are of ordinary size."""
    config = small_config(*overrides, method=method, sizes=sizes)
    network = models.create(config.method, config, card.tasks, inputs_of(card, config.model.metadata))
    make_weights_all_different(network, seed)
    for layer in network.layers:
        if isinstance(layer, Standardise):
            _standardise_ordinary_numbers(layer, inputs_of(card, config.model.metadata))
    return network


def _standardise_ordinary_numbers(layer: Standardise, columns: tuple[MetadataInput, ...]) -> None:
    """Gives the layer mean and deviation of numbers from all of each column's range."""
    random, found = np.random.default_rng(0), np.zeros((50, width(columns)), np.float32)
    ranges = [one.range for one in columns if one.range]
    for place, bounds in zip(number_places(columns), ranges, strict=True):
        found[:, place] = random.uniform(*bounds, 50)
    layer.adapt(found)


def write_run(
    run: Path,
    *overrides: str,
    method: str = "amfam",
    finished: bool = True,
    temperatures: dict[str, float] | None = None,
    card: DataCard = DERM7PT,
    sizes: tuple[str, ...] = SMALL,
) -> LesionModel:
    """Writes a run folder, finished or after its first epoch; returns its network."""
    network = small_network(*overrides, method=method, card=card, sizes=sizes)
    folder = RunFolder(run)
    folder.checkpoints.mkdir(parents=True)
    config = models.resolve(small_config(*overrides, method=method, sizes=sizes))
    folder.config_file.write_text(configuration.dump(config), encoding="utf-8")
    if card != DERM7PT:
        folder.card_file.write_text(cards.to_yaml(card), encoding="utf-8")
    environment = {"data_fingerprint": FINGERPRINT, "data_counts": {"train": 4}}
    folder.environment_file.write_text(json.dumps(environment), encoding="utf-8")
    network.save_weights(folder.checkpoints / "best.weights.h5")
    state = {"epochs": 1, "best_epoch": 0, "best_accuracy": 0.5, "best_weights": "best.weights.h5", "seconds": [1.0]}
    if finished:
        network.save(folder.model_file)
    if temperatures:
        digest = file_digest(folder.model_file)
        losses = dict.fromkeys(task_names(card.tasks), {"before": 2.0, "after": 1.0})
        calibration.write(folder.calibration_file, calibration.Calibration(temperatures, 40, digest, losses))
    if card == DERM7PT:
        metrics = run / "evaluation" / "test" / "metrics.json"
        metrics.parent.mkdir(parents=True)
        metrics.write_text(json.dumps(METRICS), encoding="utf-8")
    folder.write_state(RunState(**state, finished=finished, history=[{"epoch": 0, "loss": 1.0}]))
    return network


def random_picture(seed: int = 0, shape: tuple[int, ...] = (70, 90, 3)) -> np.ndarray:
    """Returns a smooth random picture, uint8 of `shape`."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, *shape[2:]), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def encoded(picture: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    """Returns the bytes of an image file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return file.getvalue()


def encoded_pairs(count: int) -> dict[str, list[bytes]]:
    """Returns {modality: image files}, all different."""
    return {
        "clinical": [encoded(random_picture(seed)) for seed in range(count)],
        "dermoscopic": [encoded(random_picture(100 + seed), "JPEG") for seed in range(count)],
    }
