"""Exports a run as the next version of a model for TensorFlow Serving.

<base>/<version>/saved_model.pb, variables/                what a prediction needs (batch norm folded), signatures
                 assets.extra/metadata.json                see `amfam_tf.export.metadata`
                 assets.extra/tf_serving_warmup_requests   see `amfam_tf.export.samples`
                 assets.extra/dataset.yaml                 the card of the data, if it is not Derm7pt's
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import tensorflow as tf

from amfam_tf.errors import ExportError
from amfam_tf.export import metadata, onnx_file, version_files
from amfam_tf.export.decode import Preparation
from amfam_tf.export.fold import fold_batch_norm
from amfam_tf.export.samples import write_samples
from amfam_tf.export.signatures import ServingModule
from amfam_tf.export.source import Source, read_source
from amfam_tf.export.verify import verify
from amfam_tf.export.version_files import METADATA_FILE
from amfam_tf.files import json_file
from amfam_tf.files.plain_path import plain_path
from amfam_tf.files.publish import publishing
from amfam_tf.models.lesion_model import LesionModel

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Exported:
    """What an export has written.

    Attributes:
        path: folder of the version.
        metadata: content of its metadata.json.
    """

    path: Path
    metadata: dict[str, Any]


def export_run(
    run: Path,
    base: Path,
    allow_unfinished: bool = False,
    precision: Precision = "float32",
    onnx: Path | None = None,
    thresholds: bool = False,
) -> Exported:
    """Writes a run as the next version below `base`, whose last name is the model's.

    Args:
        run: a run folder.
        base: folder of the model's versions; made if it is not there.
        allow_unfinished: take the best weights so far of a run that has not finished.
        precision: of backbone and classifiers; logits and probabilities are float32 always.
        onnx: also write this ONNX file, in float32 whatever the precision.
        thresholds: also give the class of each task that the run's thresholds decide for.

    Raises:
        RunError: the run cannot be used.
        ExportError: the folder or file cannot be written, what was written is not right, or an extra is not installed.
    """
    if onnx is not None:
        onnx_file.find_converter()
    source = read_source(run, allow_unfinished, thresholds)
    if onnx is not None:
        onnx_file.write_onnx(folded_network(source.network), source, onnx)
    module = serving_module(source, precision)
    name = base.resolve().name
    with publishing(base) as (folder, version):
        tf.saved_model.save(module, str(folder), signatures=module.functions)
        check_variables(folder, source.network)
        write_samples(folder, name, module.functions, source.card, source.columns)
        version_files.write_card(folder, source.card)
        content = metadata.describe(source, name, version, precision, folder)
        json_file.write(folder / METADATA_FILE, content)
        verify(folder)
    return Exported(base / str(version), content)


def serving_module(source: Source, precision: Precision = "float32") -> ServingModule:
    """Returns the object to save: folded network, preparation and temperatures of a run."""
    network = folded_network(source.network, precision)
    preparation = Preparation.of(source.config.data, source.network.takes_one_picture)
    flips, columns = source.network.model_config.average_flips, source.columns
    return ServingModule(network, preparation, source.temperatures, source.card, columns, flips, source.weights)


def folded_network(network: LesionModel, precision: Precision = "float32") -> keras.Model:
    """Returns the inputs -> logits and features, with weights of its own in `precision` and no batch norm."""
    folded = fold_batch_norm(
        network.explanation_model(), lambda layer: "float32" if layer.name.endswith("_logits") else precision
    )
    left = [layer.name for layer in folded._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    if left:
        raise ExportError(f"batch norm {left[0]} follows no convolution: it cannot be folded")
    return folded


def check_variables(folder: Path, network: LesionModel) -> None:
    """Checks that a saved model holds variables of the network's inference model, and of nothing else.

    Raises:
        ExportError: names what is there and should not be, or is not there.
    """
    with plain_path(folder) as plain:
        stored = tf.train.list_variables(str(plain / "variables" / "variables"))
    prefix, separator = "weights/", ".S"  # TensorFlow's way of writing a slash within a name
    names = {name.removeprefix(prefix).partition(separator)[0] for name, _ in stored if name.startswith(prefix)}
    names |= {name for name, _ in stored if not name.startswith((prefix, "_CHECKPOINTABLE_OBJECT_GRAPH"))}
    expected = {layer.name for layer in network.inference_model().layers if layer.weights}
    if names != expected:
        difference = ", ".join(sorted(names ^ expected))
        raise ExportError(f"the exported variables are not those that a prediction needs: see {difference}")
