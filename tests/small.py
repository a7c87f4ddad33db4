"""A shrunken but complete AMFAM for tests: every part and loss, smallest sizes."""

import numpy as np

from amfam_tf import config as configuration
from amfam_tf.config import Config
from amfam_tf.tasks import MODALITIES, TASKS

IMAGE_SIZE = 64

SMALL_FOR_ANY = (
    f"data.image_size={IMAGE_SIZE}",
    "model.classifier_units=16",
    "training.batch_size=4",
    "training.picture_every=0",
)
"""What every method reads."""
SMALL = (*SMALL_FOR_ANY, "model.decoder_channels=[8, 8, 8]", "model.discriminator_units=16")


def small_config(*overrides: str, method: str = "amfam", sizes: tuple[str, ...] = SMALL) -> Config:
    """Returns preset tiny, shrunk further, with overrides."""
    return configuration.load("tiny", (*sizes, f"method={method}", *overrides))


def random_batch(cases: int, seed: int = 0, image_size: int = IMAGE_SIZE) -> dict[str, np.ndarray]:
    """Returns a batch of the input pipeline's keys with random images in [0, 1] and random labels."""
    random = np.random.default_rng(seed)
    batch = {name: random.random((cases, image_size, image_size, 3)).astype(np.float32) for name in MODALITIES}
    batch["case_num"] = np.arange(1, cases + 1)
    return batch | {task.name: random.integers(len(task.classes), size=cases).astype(np.int32) for task in TASKS}


def make_weights_all_different(model, seed: int = 0) -> None:
    """Gives every weight its own random values, so that two swapped weights would be seen."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        noise = random.uniform(0.5, 1.5, variable.shape) * np.where(random.random(variable.shape) < 0.5, -1.0, 1.0)
        positive = variable.name in {"moving_variance", "gamma"}
        # Kernels keep the variance of what passes through, so that inputs still matter at the end.
        fan_in = max(1, int(np.prod(variable.shape[:-1])))
        if np.issubdtype(np.dtype(variable.dtype), np.floating):
            variable.assign(np.abs(noise) if positive else noise * np.sqrt(2.0 / fan_in))
