"""Sample requests of an exported version: what a server warms up with, and the answers that belong to them.

assets.extra/tf_serving_warmup_requests is a TFRecord of PredictionLog. TensorFlow Serving runs the requests before the
version takes traffic; it ignores the responses beside them, which `amfam-tf export --verify` compares with.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from amfam_tf.card.metadata_values import input_name
from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.data.synthetic import SAMPLES, draw_case
from amfam_tf.export import signature_names
from amfam_tf.export.metadata_inputs import Columns

SAMPLES_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
SIZE = (160, 120)
"""Width and height of the drawn pictures."""

Signature = Callable[..., Mapping[str, tf.Tensor]]


def sample_inputs(card: DataCard, columns: Columns = MappingProxyType({})) -> dict[str, dict[str, tf.Tensor]]:
    """Returns inputs for each signature, one or two drawn cases; the metadata of the second are unknown."""
    drawn = [draw_case(lesion, seed=0, row=row, size=SIZE) for row, lesion in enumerate(SAMPLES)]
    arrays = {name: np.stack([pair[place] for pair in drawn]) for place, name in enumerate(MODALITIES)}
    files = {name: [tf.io.encode_jpeg(picture).numpy() for picture in value] for name, value in arrays.items()}
    known = {name: next(iter(one.raw_values), sum(one.range or ()) / 2) for name, one in columns.items()}
    both = {
        input_name(name): tf.constant([value, "" if isinstance(value, str) else np.nan])
        for name, value in known.items()
    }
    first = {name: values[:1] for name, values in both.items()}
    # One case where the answers or the pictures are large.
    return {
        signature_names.SERVING_DEFAULT: {name: tf.constant(value) for name, value in files.items()} | both,
        signature_names.PREDICT_IMAGES: {name: tf.constant(value[:1]) for name, value in arrays.items()} | first,
        signature_names.PREDICT_EXAMPLES: {"examples": tf.constant(_examples(files, known))},
        signature_names.EXPLAIN: {
            **{name: tf.constant(value[:1]) for name, value in files.items()},
            "task": tf.constant([""]),
            "class_name": tf.constant([card.example_class]),
            **first,
        },
        signature_names.DESCRIBE: {"anything": tf.constant([""])},
    }


def _examples(files: Mapping[str, list[bytes]], known: Mapping[str, str | float]) -> list[bytes]:
    """Returns an example of each pair; the first has the metadata that are known."""
    examples = []
    for number, pair in enumerate(zip(*(files[name] for name in MODALITIES), strict=True)):
        contents: dict[str, bytes] = dict(zip(MODALITIES, pair, strict=True))
        if number == 0:
            contents |= {name: str(value).encode() for name, value in known.items()}
        lists = {name: tf.train.BytesList(value=[content]) for name, content in contents.items()}
        features = {name: tf.train.Feature(bytes_list=value) for name, value in lists.items()}
        example = tf.train.Example(features=tf.train.Features(feature=features))
        examples.append(example.SerializeToString(deterministic=True))
    return examples


def write_samples(
    folder: Path, name: str, functions: Mapping[str, Signature], card: DataCard, columns: Columns
) -> None:
    """Writes a request and its response for each signature.

    Args:
        folder: of the version.
        name: of the model.
        functions: the signatures.
        card: of the data that the model is trained on.
        columns: of its metadata, those that the network takes.
    """
    path = folder / SAMPLES_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in sample_inputs(card, columns).items():
            log = prediction_log_pb2.PredictionLog()
            request, response = log.predict_log.request, log.predict_log.response
            for spec in (request.model_spec, response.model_spec):
                spec.name, spec.signature_name = name, signature
            _fill(request.inputs, inputs)
            _fill(response.outputs, functions[signature](**inputs))
            writer.write(log.SerializeToString(deterministic=True))


def _fill(target: Mapping[str, tf.Tensor], tensors: Mapping[str, tf.Tensor]) -> None:
    for key, tensor in tensors.items():
        target[key].CopyFrom(tf.make_tensor_proto(tensor.numpy()))


def read_samples(folder: Path) -> Iterator[tuple[predict_pb2.PredictRequest, predict_pb2.PredictResponse]]:
    """Yields each request of a version with its response.

    Raises:
        tf.errors.OpError, ValueError: the file is damaged or not there.
    """
    for record in tf.data.TFRecordDataset(str(folder / SAMPLES_FILE)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record).predict_log
        yield log.request, log.response
