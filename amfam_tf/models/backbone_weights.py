"""Weight files of backbones: loaded whole or not at all, and the first difference by name."""

import re
import warnings
from collections import Counter
from pathlib import Path

import h5py
import keras

from amfam_tf.errors import WeightsError
from amfam_tf.finite import describe_broken


def load_weight_file(backbone: keras.Model, path: Path) -> None:
    """Loads a `.weights.h5` file into the backbone, all of it or nothing.

    Raises:
        WeightsError: no such file, not such a file, or the first layer whose weights differ, by name, or weights
            that are no finite numbers.
    """
    check_weight_file(path)
    try:
        stored = _stored_shapes(path)
    except OSError as error:
        raise WeightsError(f"weight file {path} is damaged or no HDF5 file: {error}") from error
    difference = _first_difference(backbone, stored)
    if difference:
        raise WeightsError(f"weight file {path} does not fit backbone: {difference}")
    with warnings.catch_warnings():
        # Keras warns of containers without weights that its own older files lack; shapes were compared above.
        warnings.filterwarnings("ignore", message="Skipping nested container", category=UserWarning)
        backbone.load_weights(path)
    broken = describe_broken({weight.path: keras.ops.convert_to_numpy(weight) for weight in backbone.weights})
    if broken is not None:
        raise WeightsError(f"weight file {path} cannot be used: {broken}")


def check_weight_file(path: Path) -> None:
    """Checks that a file of weights is there and named as one.

    Raises:
        WeightsError: it is not.
    """
    if not path.is_file():
        raise WeightsError(
            f"weight file {path} does not exist: set model.weights to none, imagenet or an existing file"
        )
    if not path.name.endswith(".weights.h5"):
        raise WeightsError(f"weight file {path} must be a Keras weight file whose name ends in .weights.h5")


def _stored_shapes(path: Path) -> dict[str, list[tuple[int, ...]]]:
    """Returns, per layer group of the file ("conv2d", "conv2d_1", ...), the shapes of its variables."""
    with h5py.File(path, "r") as file:
        groups = file.get("layers", {})
        return {
            key: [group["vars"][str(index)].shape for index in range(len(group.get("vars", {})))]
            for key, group in groups.items()
        }


def _first_difference(backbone: keras.Model, stored: dict[str, list[tuple[int, ...]]]) -> str | None:
    """Returns what differs in the first layer that does, or None; Keras numbers the groups per layer class."""
    seen: Counter[str] = Counter()
    for layer in backbone.layers:
        kind = re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", type(layer).__name__).lower()
        key = kind if seen[kind] == 0 else f"{kind}_{seen[kind]}"
        seen[kind] += 1
        expected = [tuple(weight.shape) for weight in layer.weights]
        if expected and stored.get(key) != expected:
            return f"layer {layer.name} expects variables of shapes {expected}, the file has {stored.get(key, 'none')}"
    known = sum(1 for shapes in stored.values() if shapes)
    layers_with_weights = sum(1 for layer in backbone.layers if layer.weights)
    if known > layers_with_weights:
        return f"the file has {known} layers with weights, the backbone {layers_with_weights}"
    return None
