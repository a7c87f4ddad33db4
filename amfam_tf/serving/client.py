"""The Python client of a served model: pairs of image files in, diagnoses out.

    from amfam_tf.serving.client import Client, Pair

    with Client("localhost:8500") as client:
        answer = client.predict(Pair.read("A.jpg", "B.jpg"))
    print(answer.classes["DIAG"], answer.melanoma_probability, answer.seven_point_score)

Works with `amfam-tf serve` and with TensorFlow Serving, and does not import TensorFlow.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amfam_tf import regular_files
from amfam_tf.errors import DataError, QueryError
from amfam_tf.serving.transport import Connection, GrpcTransport, Inputs, Refused, RestTransport, Transport
from amfam_tf.tasks import MODALITIES, SEVEN_POINT_THRESHOLDS, TASK_BY_NAME, TASKS

PREDICT, EXPLAIN = "serving_default", "explain"
BATCH_SIZE = 8
_BAD_PICTURE = re.compile(r"input (\w+), index (\d+): (the picture [^\]\n]*)")
_BAD_QUESTION = re.compile(r"input (?:task|class_name), index \d+ (must be [^\]\n]*)")


@dataclass(frozen=True)
class Pair:
    """The two pictures of one lesion.

    Attributes:
        clinical, dermoscopic: contents of the image files.
        names: what to call them in messages, e.g. their paths.
    """

    clinical: bytes
    dermoscopic: bytes
    names: tuple[str, str] = MODALITIES

    @classmethod
    def read(cls, clinical: str | Path, dermoscopic: str | Path) -> "Pair":
        """Returns the pair of two files.

        Raises:
            DataError: a file cannot be read.
        """
        contents = []
        for path in (clinical, dermoscopic):
            try:
                contents.append(regular_files.read(path))
            except OSError as error:
                raise DataError(f"cannot read {path}: {error.strerror}") from error
        return cls(*contents, (str(clinical), str(dermoscopic)))


@dataclass(frozen=True)
class Answer:
    """What a model says about a pair.

    Attributes:
        probabilities: by task name, one per class in the order of `amfam_tf.tasks`, in [0, 1].
        melanoma_probability: in [0, 1].
        seven_point_score: 0 to 10.
        model: its name.
        version: that answered; None where the server does not say.
    """

    probabilities: Mapping[str, tuple[float, ...]]
    melanoma_probability: float
    seven_point_score: int
    model: str
    version: int | None

    @property
    def classes(self) -> dict[str, str]:
        """The most probable class of each task, by task name."""
        return {name: TASK_BY_NAME[name].classes[int(np.argmax(row))] for name, row in self.probabilities.items()}

    @property
    def suspicious(self) -> dict[str, bool]:
        """By rule of the 7-point checklist, whether the score reaches its threshold."""
        return {rule: self.seven_point_score >= threshold for rule, threshold in SEVEN_POINT_THRESHOLDS.items()}


@dataclass(frozen=True)
class Explanation:
    """An answer and where in the pictures it comes from.

    Attributes:
        answer: of the pair.
        images: by modality, the picture as the network saw it, uint8 [S, S, 3].
        maps: by modality, Grad-CAM, float32 [S, S] in [0, 1].
    """

    answer: Answer
    images: Mapping[str, np.ndarray]
    maps: Mapping[str, np.ndarray]


class Client:
    """A connection to a served model.

    Args:
        connection: where, or "host:port" for all defaults.
        rest: REST instead of gRPC.
    """

    def __init__(self, connection: Connection | str, rest: bool = False):
        self.connection = Connection(connection) if isinstance(connection, str) else connection
        self._transport: Transport = (RestTransport if rest else GrpcTransport)(self.connection)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._transport.close()

    def predict(self, pair: Pair) -> Answer:
        """Returns the answer for one pair; see `predict_many` for errors."""
        return next(self.predict_many([pair]))

    def predict_many(self, pairs: Iterable[Pair], batch_size: int = BATCH_SIZE) -> Iterator[Answer]:
        """Yields the answer for each pair, in order.

        Raises:
            DataError: the server cannot use a picture; names it.
            QueryError: the server cannot be reached or refuses the request.
        """
        batch: list[Pair] = []
        for pair in pairs:
            batch.append(pair)
            if len(batch) == batch_size:
                yield from self._predict_batch(batch)
                batch = []
        if batch:
            yield from self._predict_batch(batch)

    def explain(self, pair: Pair, task: str = "", class_name: str = "") -> Explanation:
        """Returns the answer with Grad-CAM maps.

        Args:
            pair: the pictures.
            task: whose class to explain; empty for DIAG.
            class_name: of that task; empty for the predicted one.

        Raises:
            DataError, QueryError: see `predict_many`.
        """
        question = {"task": [task.encode()], "class_name": [class_name.encode()]}
        outputs, version = self._call(EXPLAIN, [pair], question)
        answer = self._answers(outputs, version, 1)[0]
        images = {name: self._row(outputs, f"{name}_image").astype(np.uint8) for name in MODALITIES}
        maps = {name: self._row(outputs, f"{name}_map").astype(np.float32) for name in MODALITIES}
        return Explanation(answer, images, maps)

    def _predict_batch(self, pairs: Sequence[Pair]) -> list[Answer]:
        outputs, version = self._call(PREDICT, pairs, {})
        return self._answers(outputs, version, len(pairs))

    def _call(self, signature: str, pairs: Sequence[Pair], more: Inputs) -> tuple[dict[str, np.ndarray], int | None]:
        inputs = {name: [getattr(pair, name) for pair in pairs] for name in MODALITIES}
        try:
            return self._transport.predict(signature, {**inputs, **more})
        except Refused as error:
            bad = _BAD_PICTURE.search(error.details)
            if bad:
                place = MODALITIES.index(bad.group(1))
                raise DataError(f"{pairs[int(bad.group(2))].names[place]}: {bad.group(3)}") from error
            question = _BAD_QUESTION.search(error.details)
            if question:
                raise QueryError(f"the task or class to explain {question.group(1)}") from error
            raise

    def _answers(self, outputs: Mapping[str, np.ndarray], version: int | None, count: int) -> list[Answer]:
        for task in TASKS:
            expected = (count, len(task.classes))
            if getattr(outputs.get(task.name), "shape", None) != expected:
                raise QueryError(
                    f"model {self.connection.model} at {self.connection.server} is no lesion model: its answer has no "
                    f"{task.name} of shape {expected}"
                )
        return [
            Answer(
                {task.name: tuple(float(value) for value in outputs[task.name][row]) for task in TASKS},
                float(outputs["melanoma_probability"][row]),
                int(outputs["seven_point_score"][row]),
                self.connection.model,
                version,
            )
            for row in range(count)
        ]

    def _row(self, outputs: Mapping[str, np.ndarray], name: str) -> np.ndarray:
        if name not in outputs:
            raise QueryError(f"model {self.connection.model} gives no {name}: it was not exported by this package")
        return outputs[name][0]
