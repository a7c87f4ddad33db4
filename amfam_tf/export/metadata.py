"""assets.extra/metadata.json of an exported version: what it is, what it takes and gives, and what it is not for."""

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

import amfam_tf
from amfam_tf import config as configuration
from amfam_tf.card import served
from amfam_tf.card.metadata_values import input_name
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import MODALITIES, DataCard, MetadataColumn
from amfam_tf.export.signature_names import SIGNATURES
from amfam_tf.export.source import Source
from amfam_tf.export.version_files import FORMAT, file_digests
from amfam_tf.models import registry
from amfam_tf.runs import members, teacher
from amfam_tf.training.monitor import name_in_records

INTENDED_USE = (
    "Research on multimodal fusion: reproducing and comparing methods, teaching, building on the code. Not a medical "
    "device: not for diagnosis, for decisions about a biopsy, for reassurance or for triage, and not for patients."
)
LIMITS = (
    "Another kind of lesion, a picture without a lesion, two pictures of different lesions: all get probabilities.",
    "Other cameras, other populations and darker skin than those of the training data: expect failure.",
    "Probabilities are calibrated, if at all, on the validation split of the training data only.",
    "A model fitted on drawn data has never seen skin.",
)
FILE_CONTENT = "bytes of a JPEG, PNG or BMP file"
ONE_PICTURE = "one_picture"
"""Key of metadata.json: true if either picture may be missing, "" in the signatures that take files; else absent."""
MAPS = tuple(f"{name}_map" for name in MODALITIES)
CONTENT = {
    "examples": "serialised tf.Example with the bytes features clinical and dermoscopic: image files",
    "task": "task name, or an empty string for {main_task}",
    "class_name": "class of that task, or an empty string for the predicted one",
    "anything": "not looked at; an empty string will do",
    "card": "tasks, classes, titles, targets and scores as JSON, the same in each row",
    "tasks": "names of the tasks, in order",
    "classes": "names of the classes of each task, filled up with empty strings",
    "targets": "names of the targets",
    "scores": "names of the scores",
    **dict.fromkeys(MAPS, "Grad-CAM in [0, 1]; zeros: nothing speaks for the class"),
}
RANGES = {"uint8": "RGB in [0, 255]", "float32": "[0, 1]"}


def describe(source: Source, name: str, version: int, precision: str, folder: Path) -> dict[str, Any]:
    """Returns the content of metadata.json.

    Args:
        source: the run.
        name: of the model.
        version: its number.
        precision: of backbone and classifiers, "float32" or "bfloat16".
        folder: the version as written so far; every file in it is listed with its digest.
    """
    return {
        "format": FORMAT,
        "name": name,
        "version": version,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "package": {"amfam-tf": amfam_tf.__version__, "tensorflow": tf.__version__},
        "method": {
            "name": source.config.method,
            "summary": registry.describe(source.config.method).summary,
            "source": registry.describe(source.config.method).source,
            "modalities": list(source.config.model.modalities),
        },
        "intended_use": INTENDED_USE,
        "limits": list(LIMITS),
        "tasks": [_describe_task(task) for task in source.card.tasks],
        "signatures": describe_signatures(folder, source.card),
        **({"metadata": json.loads(served.to_json(source.card, source.columns))["metadata"]} if source.columns else {}),
        **({ONE_PICTURE: True} if source.network.takes_one_picture else {}),
        "preprocessing": _describe_preprocessing(source),
        "thresholds": {
            "predicted_class": "the largest probability of each task; there is no other operating point",
            **{name: dict(score.thresholds) for name, score in source.card.scores.items()},
            **({"decided": source.thresholds.to_dict()} if source.thresholds is not None else {}),
        },
        "calibration": _describe_calibration(source),
        "precision": precision,
        "batch_norm": "folded into the convolutions",
        "configuration": configuration.to_dict(source.config),
        "training": _describe_training(source),
        "data": {key: source.environment.get(key) for key in ("data_fingerprint", "data_counts")},
        "metrics": dict(source.metrics),
        "files": file_digests(folder),
    }


def describe_signatures(folder: Path, card: DataCard) -> dict[str, Any]:
    """Returns inputs and outputs of each signature of a saved model by name: type, shape (null where free), content.

    Raises:
        OSError, google.protobuf.message.DecodeError: saved_model.pb cannot be read.
    """
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    definitions = saved.meta_graphs[0].signature_def
    return {name: _describe_signature(definitions[name], card) for name in sorted(definitions) if name in SIGNATURES}


def _describe_signature(definition: meta_graph_pb2.SignatureDef, card: DataCard) -> dict[str, Any]:
    columns = {input_name(name): _describe_column(one) for name, one in card.metadata.items()}
    sides = {"inputs": (definition.inputs, columns), "outputs": (definition.outputs, {})}
    return {
        side: {key: _describe_tensor(key, tensors[key], card, known) for key in sorted(tensors)}
        for side, (tensors, known) in sides.items()
    }


def _describe_column(column: MetadataColumn) -> str:
    if column.range is not None:
        return "{:g} to {:g}; NaN: unknown".format(*column.range)
    return f"one of {', '.join(column.raw_values)}, or a raw value of the card; an empty string: unknown"


def _describe_tensor(
    name: str, info: meta_graph_pb2.TensorInfo, card: DataCard, columns: Mapping[str, str]
) -> dict[str, Any]:
    """Returns type, shape and content; `columns` are the contents of inputs that are metadata."""
    kind = tf.dtypes.as_dtype(info.dtype).name
    if name in columns:
        content = columns[name]
    elif name in map(served.output_of_decision, (task.name for task in card.tasks)):
        content = "number of the class, from 0, that the thresholds decide for"
    elif name in card.scores:
        content = "{} to {}".format(*card.scores[name].range_of(card.tasks))
    elif kind == "string" and name in MODALITIES:
        content = FILE_CONTENT
    elif kind == "string" or name in MAPS:
        content = CONTENT[name].format(main_task=card.main_task.name)
    else:
        content = RANGES[kind]
    return {"type": kind, "shape": tf.TensorShape(info.tensor_shape).as_list(), "content": content}


def _describe_task(task: Task) -> dict[str, Any]:
    classes = zip(task.classes, task.class_titles, task.scores, strict=True)
    listed = [{"name": name, "title": title, "points": points} for name, title, points in classes]
    return {"name": task.name, "title": task.title, "classes": listed}


def _describe_preprocessing(source: Source) -> dict[str, Any]:
    data = source.config.data
    return {
        "image_size": data.image_size,
        "border_crop": data.border_crop,
        "max_pixels": data.max_pixels,
        "steps": [
            "decode; apply EXIF orientation; greyscale to RGB, alpha dropped, 16 bits to 8",
            f"cut {data.border_crop} pixels from every side (not for predict_images)",
            f"resize to {data.image_size} x {data.image_size}: bilinear, antialiased, aspect ratio not kept",
            "divide by 255",
        ],
        "in_the_graph": True,
    }


def _describe_calibration(source: Source) -> dict[str, Any]:
    if source.calibration is None:
        return {"applied": False, "temperatures": source.temperatures}
    return {"applied": True, **source.calibration.to_dict()}


def _describe_training(source: Source) -> dict[str, Any]:
    state = source.state
    history: dict[str, Any] = {
        "epochs": state.epochs,
        "best_epoch": state.best_epoch,
        name_in_records(source.config.training.monitor): state.best_accuracy,
    }
    if members.KEY in source.environment:
        history = {members.KEY: source.environment[members.KEY]}
    if teacher.KEY in source.environment:
        history[teacher.KEY] = source.environment[teacher.KEY]
    return {
        "finished": state.finished,
        **history,
        "model_sha256": source.model_sha256,
        "notes": list(source.notes),
    }
