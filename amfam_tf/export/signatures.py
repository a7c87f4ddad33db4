"""What an exported model answers: five signatures around one network, with decoding and scaling in the graph.

| signature | inputs |
| --- | --- |
| serving_default | clinical, dermoscopic: bytes of JPEG, PNG or BMP files, string [B] |
| predict_images | clinical, dermoscopic: RGB, uint8 [B, H, W, 3] in [0, 255] |
| predict_examples | examples: serialised tf.Example with the features clinical and dermoscopic (bytes), string [B] |
| explain | as serving_default, and task, class_name: string [B], "" for the main task and the predicted class |
| describe | anything: string [B], not looked at; TensorFlow Serving wants an input |

Pictures of `predict_images` count as cropped already; another size than S x S is resized as training does, S x S is
taken as it is. Outputs of the first four follow from the card of the data:

| output | type and shape | content |
| --- | --- | --- |
| the name of each task | float32 [B, classes] | probabilities; each row sums to 1 |
| <target>_probability of each target | float32 [B] | sum over its classes |
| the name of each score | int32 [B] | from the most probable class of each of its tasks |

`explain` also gives `clinical_map`, `dermoscopic_map`, float32 [B, S, S] in [0, 1] (Grad-CAM, see
`amfam_tf.explain.grad_cam`) and `clinical_image`, `dermoscopic_image`, uint8 [B, S, S, 3]: the pictures as the network
saw them, for the maps to be laid over. A modality that the network does not use has a map of zeros.

`describe` gives the same in each row, so that a server may merge requests: `card`, string [B], see
`amfam_tf.card.served`; `tasks`, `targets` and `scores`, string [B, n], their names in order; and `classes`, string
[B, tasks, most classes], those of each task, filled up with "".

Any B, also 0. Wrong input is INVALID_ARGUMENT, and says which input and which index.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from amfam_tf.card import served
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import MODALITIES, DataCard, Score, Target
from amfam_tf.data import images, records
from amfam_tf.explain import grad_cam
from amfam_tf.export.decode import Preparation, check_same_length, prepare_good_pictures, prepare_pictures
from amfam_tf.export.signature_names import DESCRIBE, EXPLAIN, PREDICT_EXAMPLES, PREDICT_IMAGES, SERVING_DEFAULT

Tensors = dict[str, tf.Tensor]


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
    """

    def __init__(
        self,
        network: keras.Model,
        preparation: Preparation,
        temperatures: Mapping[str, float],
        card: DataCard,
    ):
        super().__init__(name="amfam")
        # By name and not as a Keras object, which would bring its own bookkeeping into the saved file.
        self.weights = {
            f"{layer.name}/{variable.path.removeprefix(layer.name + '/')}": variable.value
            for layer in network.layers
            for variable in layer.variables
        }
        size = preparation.image_size
        classify = _classifier(network, size, temperatures, card)
        explain = _explainer(network, size, temperatures, card)
        # Two ways to the same squares: the signature names a bad picture, the stage before a batch is cheap.
        naming, cheap = (
            {
                SERVING_DEFAULT: (_prepare_files(prepare), classify),
                PREDICT_IMAGES: (_prepare_arrays(size), classify),
                PREDICT_EXAMPLES: (_prepare_examples(prepare), classify),
                EXPLAIN: (_prepare_question(prepare, card), explain),
            }
            for prepare in (
                functools.partial(prepare_pictures, preparation=preparation),
                functools.partial(prepare_good_pictures, preparation=preparation),
            )
        )
        self.batching = {name: _stages(*functions) for name, functions in cheap.items()}
        self.functions = {name: _one_after_the_other(*functions) for name, functions in naming.items()}
        self.functions[DESCRIBE] = _describer(card)


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


def _function(
    **inputs: tuple[tf.DType, tuple[int | None, ...]],
) -> Callable[[Callable[..., Tensors]], Callable[..., Any]]:
    """Returns the decorator for a function of named inputs, each of a type and a shape without the batch."""
    specs = [tf.TensorSpec((None, *shape), dtype, name=name) for name, (dtype, shape) in inputs.items()]
    return tf.function(input_signature=specs, autograph=False)


FILE = (tf.string, ())
Prepare = Callable[[Tensors], Tensors]
"""Bytes of picture files, string [B] by input, to uint8 [B, S, S, 3] by input."""


def _prepare_files(prepare: Prepare) -> Callable[..., Tensors]:
    @_function(clinical=FILE, dermoscopic=FILE)
    def before(clinical: tf.Tensor, dermoscopic: tf.Tensor) -> Tensors:
        return prepare({"clinical": clinical, "dermoscopic": dermoscopic})

    return before


def _prepare_arrays(size: int) -> Callable[..., Tensors]:
    picture = (tf.uint8, (None, None, 3))

    def to_square(pictures: tf.Tensor) -> tf.Tensor:
        is_square = tf.reduce_all(tf.shape(pictures)[1:3] == size)
        # Resizing refuses an empty batch.
        resize = tf.logical_not(is_square | (tf.shape(pictures)[0] == 0))
        pictures = tf.cond(resize, lambda: images.resize_to_square(pictures, size), lambda: pictures)
        return tf.reshape(pictures, (tf.shape(pictures)[0], size, size, 3))

    @_function(clinical=picture, dermoscopic=picture)
    def before(clinical: tf.Tensor, dermoscopic: tf.Tensor) -> Tensors:
        inputs = {"clinical": clinical, "dermoscopic": dermoscopic}
        with tf.control_dependencies([check_same_length(inputs)]):
            return {name: to_square(pictures) for name, pictures in inputs.items()}

    return before


def _prepare_examples(prepare: Prepare) -> Callable[..., Tensors]:
    @_function(examples=FILE)
    def before(examples: tf.Tensor) -> Tensors:
        pair = tf.io.parse_example(examples, records.picture_spec())
        return prepare({name: pair[name] for name in MODALITIES})

    return before


def _prepare_question(prepare: Prepare, card: DataCard) -> Callable[..., Tensors]:
    @_function(clinical=FILE, dermoscopic=FILE, task=FILE, class_name=FILE)
    def before(clinical: tf.Tensor, dermoscopic: tf.Tensor, task: tf.Tensor, class_name: tf.Tensor) -> Tensors:
        pair = {"clinical": clinical, "dermoscopic": dermoscopic}
        with tf.control_dependencies([check_same_length(pair | {"task": task, "class_name": class_name})]):
            task_number = _task_number(task, card)
        class_number = _class_number(class_name, task_number, card.tasks)
        return prepare(pair) | {"task_number": task_number, "class_number": class_number}

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


def _classifier(
    network: keras.Model, size: int, temperatures: Mapping[str, float], card: DataCard
) -> Callable[..., Tensors]:
    square = (tf.uint8, (size, size, 3))

    @_function(clinical=square, dermoscopic=square)
    def classify(clinical: tf.Tensor, dermoscopic: tf.Tensor) -> Tensors:
        squares = {"clinical": clinical, "dermoscopic": dermoscopic}
        pictures = {name: images.to_unit_range(_never_empty(square)) for name, square in squares.items()}
        return _first(tf.shape(clinical)[0], outputs_of(network(pictures, training=False), temperatures, card))

    return classify


def _never_empty(rows: tf.Tensor) -> tf.Tensor:
    """Returns rows [B, ...], or one of zeros if there is none: TensorFlow's fused convolution refuses B = 0."""
    nothing = tf.zeros((1, *rows.shape[1:]), rows.dtype)
    return tf.cond(tf.shape(rows)[0] == 0, lambda: nothing, lambda: rows)


def _first(count: tf.Tensor, tensors: Tensors) -> Tensors:
    """Returns the first `count` rows of each tensor."""
    return {name: tensor[:count] for name, tensor in tensors.items()}


def _explainer(
    network: keras.Model, size: int, temperatures: Mapping[str, float], card: DataCard
) -> Callable[..., Tensors]:
    square, number = (tf.uint8, (size, size, 3)), (tf.int32, ())

    @_function(clinical=square, dermoscopic=square, task_number=number, class_number=number)
    def explain(
        clinical: tf.Tensor, dermoscopic: tf.Tensor, task_number: tf.Tensor, class_number: tf.Tensor
    ) -> Tensors:
        squares = {"clinical": clinical, "dermoscopic": dermoscopic}
        pictures = {name: images.to_unit_range(_never_empty(square)) for name, square in squares.items()}
        question = (_never_empty(task_number), _never_empty(class_number))
        maps, logits = grad_cam.grad_cam(network, pictures, *question, size, card.tasks)
        answer = outputs_of(logits, temperatures, card)
        answer |= {f"{name}_map": maps[name] for name in MODALITIES}
        return _first(tf.shape(clinical)[0], answer) | {f"{name}_image": squares[name] for name in MODALITIES}

    return explain


def outputs_of(logits: Mapping[str, tf.Tensor], temperatures: Mapping[str, float], card: DataCard) -> Tensors:
    """Returns the outputs that all signatures but `describe` share, from logits [B, classes] by task name."""
    scaled = {task.name: tf.cast(logits[task.name], tf.float32) / temperatures[task.name] for task in card.tasks}
    answer = {name: tf.nn.softmax(values) for name, values in scaled.items()}
    chances = {
        served.output_of_target(name): _target(target, card.task(target.task), answer[target.task])
        for name, target in card.targets.items()
    }
    return answer | chances | {name: _score(score, card.tasks, scaled) for name, score in card.scores.items()}


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


def _describer(card: DataCard) -> Callable[..., Tensors]:
    told = {
        "card": served.to_json(card),
        "tasks": [task.name for task in card.tasks],
        "classes": _classes_of_each(card.tasks),
        "targets": list(card.targets),
        "scores": list(card.scores),
    }
    arrays = {name: np.array(value, object) for name, value in told.items()}

    @_function(anything=FILE)
    def describe(anything: tf.Tensor) -> Tensors:
        def repeated(array: np.ndarray) -> tf.Tensor:
            once = tf.constant(array, tf.string)[tf.newaxis]
            return tf.tile(once, [tf.shape(anything)[0], *[1] * array.ndim])

        return {name: repeated(array) for name, array in arrays.items()}

    return describe
