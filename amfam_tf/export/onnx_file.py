"""The network as an ONNX file: squares in, the outputs of `predict_images` out; for onnxruntime and the like.

Needs the extra `onnx`. Pictures must be S x S already; decoding, cropping and resizing stay outside. So does making
numbers of metadata: where the network takes some, the input `metadata` is what `amfam_tf.card.inputs.encode` gives.
Zeros are no picture, where one may be missing; nothing checks that the other is there.
"""

import importlib
from pathlib import Path
from types import ModuleType

import keras
import tensorflow as tf

from amfam_tf.card.schema import MODALITIES
from amfam_tf.data import images
from amfam_tf.errors import ExportError
from amfam_tf.export import metadata_inputs
from amfam_tf.export.signatures import answering, outputs_of
from amfam_tf.export.source import Source
from amfam_tf.files.writing import write_bytes
from amfam_tf.models.lesion_model import METADATA_INPUT

OPSET = 18
MISSING = "--onnx needs tf2onnx: pip install amfam-tf[onnx]"


def find_converter() -> ModuleType:
    """Returns tf2onnx.

    Raises:
        ExportError: it is not installed; names the extra.
    """
    try:
        return importlib.import_module("tf2onnx")
    except ImportError as error:
        raise ExportError(MISSING) from error


def write_onnx(network: keras.Model, source: Source, path: Path) -> None:
    """Writes an ONNX file.

    Inputs: clinical, dermoscopic: RGB, uint8 [B, S, S, 3] in [0, 255]; metadata: float32 [B, n], if the network takes
    some. Outputs: as all signatures'.

    Args:
        network: folded, float32.
        source: the run; for size, temperatures and card.
        path: file to write.

    Raises:
        ExportError: tf2onnx is not installed, or the file cannot be written.
    """
    converter = find_converter()
    size, temperatures = source.config.data.image_size, source.temperatures
    answer = answering(network, source.card, source.network.model_config.average_flips)
    specs = [tf.TensorSpec((None, size, size, 3), tf.uint8, name=name) for name in MODALITIES]
    if source.columns:
        specs.append(tf.TensorSpec((None, metadata_inputs.width(source.columns)), tf.float32, name=METADATA_INPUT))

    @tf.function(input_signature=specs, autograph=False)
    def classify(clinical: tf.Tensor, dermoscopic: tf.Tensor, *metadata: tf.Tensor) -> dict[str, tf.Tensor]:
        squares = {"clinical": clinical, "dermoscopic": dermoscopic}
        given = {name: images.to_unit_range(square) for name, square in squares.items()}
        given |= dict(zip([METADATA_INPUT], metadata, strict=False))
        return outputs_of(answer(given), temperatures, source.card, source.weights)

    model, _ = converter.convert.from_function(classify, input_signature=specs, opset=OPSET)
    write_bytes(path, model.SerializeToString(), ExportError)
