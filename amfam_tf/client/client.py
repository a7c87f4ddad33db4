"""The Python client of a served model: pairs of image files in, diagnoses out.

    from amfam_tf.client.client import Client, Pair

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

from amfam_tf.client.transport import TOO_MUCH, Connection, GrpcTransport, Inputs, Refused, RestTransport, Transport
from amfam_tf.errors import DataError, QueryError, UserError
from amfam_tf.files import regular_files
from amfam_tf.finite import broken_tasks
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
        contents: list[bytes] = []
        for path in (clinical, dermoscopic):
            try:
                contents.append(regular_files.read(path))
            except OSError as error:
                raise DataError(f"cannot read {path}: {error.strerror}") from error
            except ValueError as error:  # a NUL in the path
                raise DataError(f"cannot read {str(path)!r}: {error}") from error
        return cls(contents[0], contents[1], (str(clinical), str(dermoscopic)))


def _too_long(name: str, size: int, limit: int) -> str:
    return f"{name}: takes {size} bytes in a request; the limit is {limit}: see --max-message-bytes"


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


class _BadPicture(DataError):
    """A picture that the server cannot use.

    Attributes:
        row: of its pair in the request.
    """

    def __init__(self, text: str, row: int):
        super().__init__(text)
        self.row = row


def _inputs(pairs: Sequence[Pair]) -> dict[str, list[bytes]]:
    return {name: [getattr(pair, name) for pair in pairs] for name in MODALITIES}


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

    @property
    def proxy(self) -> str | None:
        """The proxy that the connection goes through, as "variable=URL"; None if it is direct."""
        return self._transport.route.proxy

    def predict_many(self, pairs: Iterable[Pair], batch_size: int = BATCH_SIZE) -> Iterator[Answer]:
        """Yields the answer for each pair, in order.

        Raises:
            DataError: the server cannot use a picture; names it.
            QueryError: the server cannot be reached or refuses the request.
        """
        for answer in self.answer_many(pairs, batch_size):
            if isinstance(answer, UserError):
                raise answer
            yield answer

    def answer_many(
        self, pairs: Iterable[Pair | UserError], batch_size: int = BATCH_SIZE
    ) -> Iterator[Answer | UserError]:
        """Yields for each pair, in order, the answer, or why there is none for this pair.

        Args:
            pairs: one that could not be read is its error, which comes back at its place.
            batch_size: most pairs in one request; fewer where a request would be longer than the connection's
                `max_message_bytes`.

        Raises:
            QueryError: the server cannot be reached or refuses the request, whatever the pair.
        """
        batch: list[Pair | UserError] = []
        for given in pairs:
            pair = self._checked(given)
            asked = [one for one in (*batch, pair) if isinstance(one, Pair)]
            if len(batch) == batch_size or self._request_bytes(asked) > self.connection.max_message_bytes:
                yield from self._answer_batch(batch)
                batch = []
            batch.append(pair)
        yield from self._answer_batch(batch)

    def explain(self, pair: Pair, task: str = "", class_name: str = "") -> Explanation:
        """Returns the answer with Grad-CAM maps.

        Args:
            pair: the pictures.
            task: whose class to explain; empty for DIAG.
            class_name: of that task; empty for the predicted one.

        Raises:
            DataError, QueryError: see `predict_many`.
        """
        checked = self._checked(pair)
        if isinstance(checked, UserError):
            raise checked
        question = {"task": [task.encode()], "class_name": [class_name.encode()]}
        outputs, version = self._call(EXPLAIN, [pair], question)
        answer = self._answers(outputs, version, 1)[0]
        images = {name: self._row(outputs, f"{name}_image").astype(np.uint8) for name in MODALITIES}
        maps = {name: self._row(outputs, f"{name}_map").astype(np.float32) for name in MODALITIES}
        return Explanation(answer, images, maps)

    def _checked(self, pair: Pair | UserError) -> Pair | UserError:
        """Returns the pair, or that it is too long even for a request of its own."""
        if isinstance(pair, UserError):
            return pair
        size, limit = self._request_bytes([pair]), self.connection.max_message_bytes
        return DataError(_too_long(" + ".join(pair.names), size, limit)) if size > limit else pair

    def _request_bytes(self, pairs: Sequence[Pair]) -> int:
        return self._transport.request_bytes(_inputs(pairs))

    def _answer_batch(self, batch: Sequence[Pair | UserError]) -> list[Answer | UserError]:
        """Returns answers and errors in order; the pairs are asked again without those that the server cannot use."""
        found: dict[int, Answer | UserError] = {}
        pairs: dict[int, Pair] = {}
        for place, pair in enumerate(batch):
            if isinstance(pair, UserError):
                found[place] = pair
            else:
                pairs[place] = pair
        while pairs:
            try:
                found |= zip(pairs, self._predict_batch([*pairs.values()]), strict=True)
                break
            except _BadPicture as error:
                place = [*pairs][error.row]
                found[place] = DataError(str(error))
                del pairs[place]
        return [found[place] for place in range(len(batch))]

    def _predict_batch(self, pairs: Sequence[Pair]) -> Sequence[Answer | UserError]:
        """Returns the answers to one request, or to its halves if it is too much for the server."""
        try:
            outputs, version = self._call(PREDICT, pairs, {})
        except Refused as error:
            if error.status not in TOO_MUCH:
                raise
            if len(pairs) == 1:
                return [error]
            middle = len(pairs) // 2
            return [*self._answer_batch(pairs[:middle]), *self._answer_batch(pairs[middle:])]
        return self._answers(outputs, version, len(pairs))

    def _call(self, signature: str, pairs: Sequence[Pair], more: Inputs) -> tuple[dict[str, np.ndarray], int | None]:
        try:
            return self._transport.predict(signature, {**_inputs(pairs), **more})
        except Refused as error:
            bad = _BAD_PICTURE.search(error.details)
            if bad and bad.group(1) in MODALITIES and int(bad.group(2)) < len(pairs):
                row, place = int(bad.group(2)), MODALITIES.index(bad.group(1))
                raise _BadPicture(f"{pairs[row].names[place]}: {bad.group(3)}", row) from error
            question = _BAD_QUESTION.search(error.details)
            if question:
                raise QueryError(f"the task or class to explain {question.group(1)}") from error
            raise

    def _answers(self, outputs: Mapping[str, np.ndarray], version: int | None, count: int) -> list[Answer]:
        shapes = {task.name: (count, len(task.classes)) for task in TASKS}
        for name, shape in (shapes | dict.fromkeys(("melanoma_probability", "seven_point_score"), (count,))).items():
            if getattr(outputs.get(name), "shape", None) != shape:
                raise QueryError(
                    f"model {self.connection.model} at {self.connection.server} is no lesion model: its answer has no "
                    f"{name} of shape {shape}"
                )
        broken = broken_tasks(outputs)
        if broken:
            told = ", ".join(f"{name} for {pairs} of {count} pairs" for name, pairs in broken.items())
            raise QueryError(
                f"the answers of model {self.connection.model} at {self.connection.server} are no finite "
                f"numbers: {told}; the served version has diverged: serve another one"
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
