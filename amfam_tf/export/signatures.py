"""What an exported model answers: five signatures around one network, with decoding and scaling in the graph.

| signature | inputs |
| --- | --- |
| serving_default | clinical, dermoscopic: bytes of JPEG, PNG or BMP files, string [B] |
| predict_images | clinical, dermoscopic: RGB, uint8 [B, H, W, 3] in [0, 255] |
| predict_examples | examples: serialised tf.Example with the features clinical and dermoscopic (bytes), string [B] |
| explain | as serving_default, and task, class_name: string [B], "" for the main task and the predicted class |
| describe | anything: string [B], not looked at; TensorFlow Serving wants an input |

All but `describe` have an input for each metadata column that the network takes, see `metadata_inputs`; in
`predict_examples` it is a feature of the tf.Example.

Pictures of `predict_images` count as cropped already; another size than S x S is resized as training does, S x S is
taken as it is. Outputs of the first four follow from the card of the data:

| output | type and shape | content |
| --- | --- | --- |
| the name of each task | float32 [B, classes] | probabilities; each row sums to 1 |
| <target>_probability of each target | float32 [B] | sum over its classes |
| the name of each score | int32 [B] | from the most probable class of each of its tasks |
| <task>_decided, only by `export --thresholds` | int32 [B] | number of the class that the thresholds decide for |

`explain` also gives `clinical_map`, `dermoscopic_map`, float32 [B, S, S] in [0, 1] (Grad-CAM, see
`amfam_tf.explain.grad_cam`) and `clinical_image`, `dermoscopic_image`, uint8 [B, S, S, 3]: the pictures as the network
saw them, for the maps to be laid over. A modality that the network does not use has a map of zeros.

`describe` gives the same in each row, so that a server may merge requests: `card`, string [B], see
`amfam_tf.card.served`; `tasks`, `targets` and `scores`, string [B, n], their names in order; and `classes`, string
[B, tasks, most classes], those of each task, filled up with "".

Of a network with modality dropout, either picture of a pair may be missing: an empty string, a feature of the
tf.Example that is absent or empty, or, in `predict_images`, zeros; a picture that is black throughout is none. One of
the two must be there.

Any B, also 0. Wrong input is INVALID_ARGUMENT, and says which input and which index.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from amfam_tf.card import served
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import MODALITIES, DataCard, Score, Target
from amfam_tf.data import images, records
from amfam_tf.explain import grad_cam
from amfam_tf.export import metadata_inputs
from amfam_tf.export.decode import (
    Preparation,
    check_same_length,
    prepare_good_pictures,
    prepare_pictures,
    with_a_picture,
)
from amfam_tf.export.metadata_inputs import Columns, Specs
from amfam_tf.export.signature_names import DESCRIBE, EXPLAIN, PREDICT_EXAMPLES, PREDICT_IMAGES, SERVING_DEFAULT
from amfam_tf.models.flips import over_flips
from amfam_tf.models.lesion_model import METADATA_INPUT

Tensors = dict[str, tf.Tensor]
Weights = Mapping[str, Mapping[str, float]]


class ServingModule(tf.Module):
    """The object that is saved: the network's variables and its signatures.

    Each signature is also there in two stages, `batching[signature].before` and `.batched`, for a server that merges
    requests: what can fail for one picture alone comes before, and the network's part is merged. What `before` raises
    does not name the picture: the server then runs the request again, alone, through the signature, which does.

    Args:
        network: pictures in [0, 1] -> logits per task and `features_<modality>`.
        preparation: how files become squares.
        temperatures: by task name, what its logits are divided by.
        card: of the data that the network is trained on.
        columns: of its metadata, those that the network takes.
        average_flips: answer with the mean over the four flips of the pictures.
        weights: by task name, of each class: thresholds for `<task>_decided`; {} for none.
    """

    def __init__(
        self,
        network: keras.Model,
        preparation: Preparation,
        temperatures: Mapping[str, float],
        card: DataCard,
        columns: Columns = MappingProxyType({}),
        average_flips: bool = False,
        weights: Weights = MappingProxyType({}),
    ):
        super().__init__(name="amfam")
        # By name and not as a Keras object, which would bring its own bookkeeping into the saved file.
        self.weights = {
            f"{layer.name}/{variable.path.removeprefix(layer.name + '/')}": variable.value
            for layer in network.layers
            for variable in layer.weights
        }
        size = preparation.image_size
        answer = answering(network, card, average_flips)
        tell = functools.partial(outputs_of, temperatures=temperatures, card=card, weights=weights)
        classify = _classifier(answer, size, tell, columns)
        explain = _explainer(network, answer if average_flips else None, size, tell, card, columns)
        # Two ways to the same squares: the signature names a bad picture, the stage before a batch is cheap.
        naming, cheap = (
            {
                SERVING_DEFAULT: (_prepare_files(prepare, columns), classify),
                PREDICT_IMAGES: (_prepare_arrays(preparation, columns), classify),
                PREDICT_EXAMPLES: (_prepare_examples(prepare, preparation.one_picture, columns), classify),
                EXPLAIN: (_prepare_question(prepare, card, columns), explain),
            }
            for prepare in (
                functools.partial(prepare_pictures, preparation=preparation),
                functools.partial(prepare_good_pictures, preparation=preparation),
            )
        )
        self.batching = {name: _stages(*functions) for name, functions in cheap.items()}
        self.functions = {name: _one_after_the_other(*functions) for name, functions in naming.items()}
        self.functions[DESCRIBE] = _describer(card, columns, preparation.one_picture)


def _stages(before: Callable[..., Tensors], batched: Callable[..., Tensors]) -> tf.Module:
    stages = tf.Module()
    stages.before, stages.batched = before, batched
    return stages


def _one_after_the_other(
    before: tf.types.experimental.PolymorphicFunction, batched: Callable[..., Tensors]
) -> Callable[..., Tensors]:
    @tf.function(input_signature=before.input_signature, autograph=False)
    @functools.wraps(before.python_function)  # for the names of the inputs
    def signature(*positional: tf.Tensor, **named: tf.Tensor) -> Tensors:
        return batched(**before(*positional, **named))

    return signature


def _function(**inputs: tuple[tf.DType, tuple[int | None, ...]]) -> Callable[[Callable[[Tensors], Tensors]], Any]:
    """Returns the decorator for a function of tensors by name, each of a type and a shape without the batch."""
    listed = [tf.TensorSpec((None, *shape), dtype, name=name) for name, (dtype, shape) in inputs.items()]

    def decorate(function: Callable[[Tensors], Tensors]) -> Any:
        @functools.wraps(function)
        def named(*tensors: tf.Tensor) -> Tensors:
            return function(dict(zip(inputs, tensors, strict=True)))

        # A card names some of the inputs: they cannot be written as the arguments of a function.
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        named.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in inputs])  # type: ignore[attr-defined]
        return tf.function(named, input_signature=listed, autograph=False)

    return decorate


FILE = (tf.string, ())
PAIR: Specs = dict.fromkeys(MODALITIES, FILE)
Prepare = Callable[[Tensors], Tensors]
"""Bytes of picture files, string [B] by input, to uint8 [B, S, S, 3] by input."""


def _pictures_of(given: Tensors) -> Tensors:
    return {name: given[name] for name in MODALITIES}


def _vector(columns: Columns, given: Tensors) -> Tensors:
    """Returns the metadata as the network is given them, float32 [B, n], by the name of its input; {} if it has none.

    Raises:
        tf.errors.InvalidArgumentError: inputs of different lengths, or a value that cannot be.
    """
    if not columns:
        return {}
    with tf.control_dependencies([check_same_length(given)]):
        return {METADATA_INPUT: tf.identity(metadata_inputs.encode(columns, given))}


def _prepare_files(prepare: Prepare, columns: Columns) -> Any:
    @_function(**PAIR, **metadata_inputs.specs(columns))
    def before(given: Tensors) -> Tensors:
        return prepare(_pictures_of(given)) | _vector(columns, given)

    return before


def _prepare_arrays(preparation: Preparation, columns: Columns) -> Any:
    size = preparation.image_size
    picture = (tf.uint8, (None, None, 3))

    def to_square(pictures: tf.Tensor) -> tf.Tensor:
        is_square = tf.reduce_all(tf.shape(pictures)[1:3] == size)
        # Resizing refuses an empty batch.
        resize = tf.logical_not(is_square | (tf.shape(pictures)[0] == 0))
        pictures = tf.cond(resize, lambda: images.resize_to_square(pictures, size), lambda: pictures)
        return tf.reshape(pictures, (tf.shape(pictures)[0], size, size, 3))

    @_function(clinical=picture, dermoscopic=picture, **metadata_inputs.specs(columns))
    def before(given: Tensors) -> Tensors:
        with tf.control_dependencies([check_same_length(given)]):
            squares = {name: to_square(pictures) for name, pictures in _pictures_of(given).items()}
        return with_a_picture(squares, preparation) | _vector(columns, given)

    return before


def _prepare_examples(prepare: Prepare, one_picture: bool, columns: Columns) -> Any:
    @_function(examples=FILE)
    def before(given: Tensors) -> Tensors:
        spec = records.picture_spec(one_picture) | metadata_inputs.feature_specs(columns)
        pair = tf.io.parse_example(given["examples"], spec)
        vector = {METADATA_INPUT: metadata_inputs.encode_texts(columns, pair)} if columns else {}
        return prepare(_pictures_of(pair)) | vector

    return before


def _prepare_question(prepare: Prepare, card: DataCard, columns: Columns) -> Any:
    @_function(**PAIR, task=FILE, class_name=FILE, **metadata_inputs.specs(columns))
    def before(given: Tensors) -> Tensors:
        with tf.control_dependencies([check_same_length(given)]):
            task_number = _task_number(given["task"], card)
        class_number = _class_number(given["class_name"], task_number, card.tasks)
        question = {"task_number": task_number, "class_number": class_number}
        return prepare(_pictures_of(given)) | question | _vector(columns, given)

    return before


def _task_number(task: tf.Tensor, card: DataCard) -> tf.Tensor:
    """Returns positions among the tasks of names, string [B] -> int32 [B]; "" is the main task."""
    names = [one.name for one in card.tasks]
    task = tf.where(task == "", card.main_task.name, task)
    return _position(task[:, tf.newaxis] == names, task, "task", f"one of {', '.join(names)}")


def _class_number(name: tf.Tensor, task_number: tf.Tensor, tasks: Sequence[Task]) -> tf.Tensor:
    """Returns class numbers within each case's task, string [B] -> int32 [B]; "" is the predicted class."""
    table = tf.constant(_classes_of_each(tasks))
    is_empty = name == ""
    matches = tf.gather(table, task_number) == name[:, tf.newaxis]
    number = _position(matches | is_empty[:, tf.newaxis], name, "class_name", "a class of that task")
    return tf.where(is_empty, grad_cam.PREDICTED, number)


def _classes_of_each(tasks: Sequence[Task]) -> list[list[str]]:
    """Returns the class names of each task, as many as the largest has: filled up with ""."""
    largest = max(len(task.classes) for task in tasks)
    return [[*task.classes, *[""] * (largest - len(task.classes))] for task in tasks]


def _position(matches: tf.Tensor, names: tf.Tensor, name: str, what: str) -> tf.Tensor:
    """Returns the column of the first match in each row, bool [B, n] -> int32 [B]; refuses a row without."""
    found = tf.reduce_any(matches, axis=1)
    first = tf.argmin(tf.concat([tf.cast(found, tf.int32), [0]], axis=0), output_type=tf.int32)
    received = tf.concat([names, [""]], axis=0)[first]
    text = tf.strings.join(["input ", name, ", index ", tf.strings.as_string(first), f" must be {what}: ", received])
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(found), [text])]):
        return tf.argmax(tf.cast(matches, tf.int32), axis=1, output_type=tf.int32)


def _squares(size: int, columns: Columns) -> Specs:
    """Returns what the batched part of each signature takes: squares, and the metadata if there are any."""
    squares: Specs = dict.fromkeys(MODALITIES, (tf.uint8, (size, size, 3)))
    return squares | ({METADATA_INPUT: (tf.float32, (metadata_inputs.width(columns),))} if columns else {})


def _for_network(given: Tensors) -> Tensors:
    """Returns the inputs of the network: pictures in [0, 1], and the metadata if there are any; at least one row."""
    pictures = {name: images.to_unit_range(_never_empty(given[name])) for name in MODALITIES}
    return pictures | ({METADATA_INPUT: _never_empty(given[METADATA_INPUT])} if METADATA_INPUT in given else {})


Answer = Callable[[Tensors], Mapping[str, tf.Tensor]]
"""From the inputs of the network to the logits of each task, float32 [B, classes]."""


def answering(network: keras.Model, card: DataCard, average_flips: bool) -> Answer:
    """Returns what answers the questions of a card: a network, on the pictures as they are or in their four flips."""
    plain = functools.partial(network, training=False)
    return (lambda inputs: over_flips(plain, inputs, [task.name for task in card.tasks])) if average_flips else plain


def _classifier(answer: Answer, size: int, tell: Callable[..., Tensors], columns: Columns) -> Callable[..., Tensors]:
    @_function(**_squares(size, columns))
    def classify(given: Tensors) -> Tensors:
        return _first(tf.shape(given["clinical"])[0], tell(answer(_for_network(given))))

    return classify


def _never_empty(rows: tf.Tensor) -> tf.Tensor:
    """Returns rows [B, ...], or one of zeros if there is none: TensorFlow's fused convolution refuses B = 0."""
    nothing = tf.zeros((1, *rows.shape[1:]), rows.dtype)
    return tf.cond(tf.shape(rows)[0] == 0, lambda: nothing, lambda: rows)


def _first(count: tf.Tensor, tensors: Tensors) -> Tensors:
    """Returns the first `count` rows of each tensor."""
    return {name: tensor[:count] for name, tensor in tensors.items()}


def _explainer(
    network: keras.Model,
    averaged: Answer | None,
    size: int,
    tell: Callable[..., Tensors],
    card: DataCard,
    columns: Columns,
) -> Callable[..., Tensors]:
    """Returns the batched part of `explain`; the maps are of the pictures as they are, the answers those of the others.

    Args:
        averaged: answers that are not those of the network to the pictures as they are.
    """
    number = (tf.int32, ())

    @_function(**_squares(size, columns), task_number=number, class_number=number)
    def explain(given: Tensors) -> Tensors:
        inputs, task_number = _for_network(given), _never_empty(given["task_number"])
        class_number = _never_empty(given["class_number"])
        told = None if averaged is None else averaged(inputs)
        if told is not None:
            class_number = grad_cam.chosen_classes(told, card.tasks, task_number, class_number)
        maps, logits = grad_cam.grad_cam(network, inputs, task_number, class_number, size, card.tasks)
        answer = tell(logits if told is None else told)
        answer |= {f"{name}_map": maps[name] for name in MODALITIES}
        return _first(tf.shape(given["clinical"])[0], answer) | {f"{name}_image": given[name] for name in MODALITIES}

    return explain


def outputs_of(
    logits: Mapping[str, tf.Tensor],
    temperatures: Mapping[str, float],
    card: DataCard,
    weights: Weights = MappingProxyType({}),
) -> Tensors:
    """Returns the outputs that all signatures but `describe` share, from logits [B, classes] by task name."""
    scaled = {task.name: tf.cast(logits[task.name], tf.float32) / temperatures[task.name] for task in card.tasks}
    answer = {name: tf.nn.softmax(values) for name, values in scaled.items()}
    chances = {
        served.output_of_target(name): _target(target, card.task(target.task), answer[target.task])
        for name, target in card.targets.items()
    }
    chosen = {served.output_of_decision(name): _decide(answer[name], one) for name, one in weights.items()}
    scores = {name: _score(score, card.tasks, scaled) for name, score in card.scores.items()}
    return answer | chances | scores | chosen


def _decide(probabilities: tf.Tensor, weights: Mapping[str, float]) -> tf.Tensor:
    """Returns the number of the class with the largest probability times weight, [B, classes] -> int32 [B]."""
    return tf.cast(tf.argmax(probabilities * tf.constant([*weights.values()], tf.float32), axis=1), tf.int32)


def _target(target: Target, task: Task, probabilities: tf.Tensor) -> tf.Tensor:
    """Returns the probability of a target, [B, classes] -> [B]."""
    numbers = [task.classes.index(name) for name in target.classes]
    if len(numbers) == 1:
        return probabilities[:, numbers[0]]
    # Rounding must not lead above 1.
    return tf.minimum(tf.reduce_sum(tf.gather(probabilities, numbers, axis=1), axis=1), 1.0)


def _score(score: Score, tasks: Sequence[Task], logits: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns the points of the most probable class of each task that has some, added, int32 [B]."""
    points = [tf.gather(score.points_of(task), tf.argmax(logits[task.name], axis=1)) for task in score.counted(tasks)]
    # Not add_n: ONNX adds no whole numbers that way.
    return tf.reduce_sum(tf.stack(points), axis=0)


def _describer(card: DataCard, columns: Columns, one_picture: bool) -> Callable[..., Tensors]:
    told = {
        "card": served.to_json(card, columns, one_picture),
        "tasks": [task.name for task in card.tasks],
        "classes": _classes_of_each(card.tasks),
        "targets": list(card.targets),
        "scores": list(card.scores),
    }
    arrays = {name: np.array(value, object) for name, value in told.items()}

    @_function(anything=FILE)
    def describe(given: Tensors) -> Tensors:
        def repeated(array: np.ndarray) -> tf.Tensor:
            once = tf.constant(array, tf.string)[tf.newaxis]
            return tf.tile(once, [tf.shape(given["anything"])[0], *[1] * array.ndim])

        return {name: repeated(array) for name, array in arrays.items()}

    return describe
