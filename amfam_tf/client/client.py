"""The Python client of a served model: pairs of image files in, diagnoses out.

    from amfam_tf.client.client import Client, Pair

    with Client("localhost:8500") as client:
        answer = client.predict(Pair.read("A.jpg", "B.jpg"))
    print(answer.classes["DIAG"], answer.targets, answer.scores)

Works with `amfam-tf serve` and with TensorFlow Serving, and does not import TensorFlow. What tasks, classes, targets
and scores are, the served version tells by its signature `describe`; one that has none is of Derm7pt. If it takes
metadata, they are given with the pair: `client.predict(pair, metadata={"age": 54})`; what is not given is unknown. If
its card says so (`one_picture`), a pair may have one picture: `Pair.read("A.jpg", None)`.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from amfam_tf.card import metadata_values, served
from amfam_tf.card.metadata_values import Given
from amfam_tf.card.schema import MODALITIES, MetadataColumn
from amfam_tf.card.served import ServedCard, output_of_target
from amfam_tf.client.transport import TOO_MUCH, Connection, GrpcTransport, Inputs, Refused, RestTransport, Transport
from amfam_tf.errors import DataError, QueryError, UserError
from amfam_tf.files import regular_files
from amfam_tf.finite import broken_tasks

PREDICT, EXPLAIN, DESCRIBE = "serving_default", "explain", "describe"
BATCH_SIZE = 8
MOST_SWAPS = 3
"""How often to ask again because the version that answered has been unloaded since."""
GONE = ("NOT_FOUND", "404")
Outputs = Mapping[str, np.ndarray]
_BAD_PICTURE = re.compile(r"input (\w+), index (\d+): (the picture [^\]\n]*)")
_NO_DESCRIPTION = re.compile(rf'signature \w+:? "{DESCRIBE}" not found')
_OTHER_INPUTS = re.compile(r"(?:does not match|not found in) signature|Missing named input|index \d+: the value ")
_BAD_QUESTION = re.compile(r"input (?:task|class_name), index \d+ (must be [^\]\n]*)")


@dataclass(frozen=True)
class Pair:
    """The two pictures of one lesion.

    Attributes:
        clinical, dermoscopic: contents of the image files; b"" for one that there is not.
        names: what to call them in messages, e.g. their paths; "" for one that there is not.
        metadata: what is known beside them, by column of the card; "", None and NaN are unknown as what is left out.
    """

    clinical: bytes
    dermoscopic: bytes
    names: tuple[str, str] = MODALITIES
    metadata: Mapping[str, Given] = field(default_factory=dict, hash=False)

    @classmethod
    def read(
        cls,
        clinical: str | Path | None,
        dermoscopic: str | Path | None,
        metadata: Mapping[str, Given] | None = None,
    ) -> "Pair":
        """Returns the pair of two files; None for a picture that there is not.

        Raises:
            DataError: a file cannot be read, or is empty.
        """
        contents: list[bytes] = []
        for path in (clinical, dermoscopic):
            if path is None:
                contents.append(b"")
                continue
            try:
                contents.append(regular_files.read(path))
            except OSError as error:
                raise DataError(f"cannot read {path}: {error.strerror}") from error
            except ValueError as error:  # a NUL in the path
                raise DataError(f"cannot read {str(path)!r}: {error}") from error
            if not contents[-1]:
                raise DataError(f"{path}: the picture is empty: copy it anew")
        return cls(contents[0], contents[1], names_of((clinical, dermoscopic)), metadata or {})


def names_of(paths: tuple[str | Path | None, str | Path | None]) -> tuple[str, str]:
    """Returns what to call the pictures of two files, "" for one that there is not."""
    first, second = ("" if path is None else str(path) for path in paths)
    return first, second


def joined(names: Iterable[str]) -> str:
    """Returns what to call a pair: the names of the pictures that there are."""
    return " + ".join(name for name in names if name)


def _too_long(name: str, size: int, limit: int) -> str:
    return f"{name}: takes {size} bytes in a request; the limit is {limit}: see --max-message-bytes"


@dataclass(frozen=True)
class Answer:
    """What a model says about a pair.

    Attributes:
        probabilities: by task name, one per class in the order of the card, in [0, 1].
        targets: by target, its probability in [0, 1].
        scores: by score, its points.
        model: its name.
        version: that answered; None where the server does not say.
        card: what its tasks, targets and scores are.
        metadata: what it was told beside the pictures, by column in the order of the card: the name of a value, or a
            number as text; "" where nobody knows.
    """

    probabilities: Mapping[str, tuple[float, ...]]
    targets: Mapping[str, float]
    scores: Mapping[str, int]
    model: str
    version: int | None
    card: ServedCard = field(default_factory=served.legacy, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> dict[str, str]:
        """The most probable class of each task, by task name."""
        return {name: self.card.task(name).classes[int(np.argmax(row))] for name, row in self.probabilities.items()}

    @property
    def reached(self) -> dict[str, dict[str, bool]]:
        """By score and rule, whether the score reaches the rule's threshold."""
        return {
            name: {rule: value >= threshold for rule, threshold in self.card.scores[name].thresholds.items()}
            for name, value in self.scores.items()
        }

    @property
    def suspicious(self) -> dict[str, bool]:
        """By rule of the card's first score, such as the 7-point checklist, whether its threshold is reached."""
        return next(iter(self.reached.values()), {})

    def __getattr__(self, name: str) -> Any:
        """Returns a probability or score of the card by its output's name, such as `melanoma_probability`."""
        if name.startswith("_"):
            raise AttributeError(name)
        known = {served.output_of_target(target): value for target, value in self.targets.items()} | dict(self.scores)
        if name not in known:
            told = name.removesuffix(served.output_of_target(""))
            raise AttributeError(f"model {self.model} is of {self.card.title}, which has no {told}: see Answer.card")
        return known[name]


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


class _OtherMetadata(Exception):
    """The version that is served now takes other metadata than were sent."""


def _misfit(outputs: Outputs, card: ServedCard, count: int) -> str | None:
    """Returns the first output of a card that an answer lacks, or has in another shape; None if it has all."""
    shapes: dict[str, tuple[int, ...]] = {task.name: (count, len(task.classes)) for task in card.tasks}
    shapes |= dict.fromkeys((*map(output_of_target, card.targets), *card.scores), (count,))
    wrong = (name for name, shape in shapes.items() if getattr(outputs.get(name), "shape", None) != shape)
    return next((f"{name} of shape {shapes[name]}" for name in wrong), None)


Columns = Mapping[str, MetadataColumn]


def _inputs(pairs: Sequence[Pair], columns: Columns) -> Inputs:
    """Returns the inputs of pairs whose metadata are known to fit."""
    known = metadata_values.as_inputs(columns, [pair.metadata for pair in pairs])
    return {name: [getattr(pair, name) for pair in pairs] for name in MODALITIES} | {
        name: [value.encode() if isinstance(value, str) else value for value in values]
        for name, values in known.items()
    }


class Client:
    """A connection to a served model.

    Args:
        connection: where, or "host:port" for all defaults.
        rest: REST instead of gRPC.
    """

    def __init__(self, connection: Connection | str, rest: bool = False):
        self.connection = Connection(connection) if isinstance(connection, str) else connection
        self._transport: Transport = (RestTransport if rest else GrpcTransport)(self.connection)
        self._cards: dict[int | None, ServedCard] = {}
        self._columns: Columns = {}

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._transport.close()

    def predict(self, pair: Pair, metadata: Mapping[str, Given] | None = None) -> Answer:
        """Returns the answer for one pair, with these metadata in place of its own; see `predict_many` for errors."""
        if metadata is not None:
            pair = dataclasses.replace(pair, metadata=metadata)
        return next(self.predict_many([pair]))

    def card(self, version: int | None = None) -> ServedCard:
        """Returns what a version's tasks, targets, scores and metadata are; asked once per version.

        Args:
            version: a number; None for that of the connection.

        Raises:
            QueryError: the server cannot be reached, or what it tells is no card.
        """
        if version not in self._cards:
            card, answered = self._ask_card(version)
            self._cards |= {version: card, answered: card}
        return self._cards[version]

    @property
    def proxy(self) -> str | None:
        """The proxy that the connection goes through, as "variable=URL"; None if it is direct."""
        return self._transport.route.proxy

    def predict_many(self, pairs: Iterable[Pair], batch_size: int = BATCH_SIZE) -> Iterator[Answer]:
        """Yields the answer for each pair, in order.

        Raises:
            DataError: the server cannot use a picture, or takes no such metadata; names what.
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
            task: whose class to explain; empty for the main task.
            class_name: of that task; empty for the predicted one.

        Raises:
            DataError, QueryError: see `predict_many`.
        """
        question = {"task": [task.encode()], "class_name": [class_name.encode()]}
        for _ in range(MOST_SWAPS):
            checked = self._checked(pair)
            if isinstance(checked, UserError):
                raise checked
            try:
                outputs, version, card = self._call(EXPLAIN, [pair], question)
                break
            except _OtherMetadata:
                continue
        else:
            raise self._restless()
        answer = self._answers(outputs, version, card, [pair])[0]
        images, maps = (
            {name: self._row(outputs, f"{name}_{kind}") for name in MODALITIES} for kind in ("image", "map")
        )
        return Explanation(
            answer,
            {name: image.astype(np.uint8) for name, image in images.items()},
            {name: heat.astype(np.float32) for name, heat in maps.items()},
        )

    def _checked(self, pair: Pair | UserError) -> Pair | UserError:
        """Returns the pair, or why it cannot be asked about: metadata, or too long even for a request of its own."""
        if isinstance(pair, UserError):
            return pair
        if pair.metadata and not self._columns:
            self._columns = self.card().metadata
        try:
            self._check_pictures(pair)
            self._understood(pair)
        except DataError as error:
            return error
        size, limit = self._request_bytes([pair]), self.connection.max_message_bytes
        return DataError(_too_long(joined(pair.names), size, limit)) if size > limit else pair

    def _check_pictures(self, pair: Pair) -> None:
        """Checks that the pictures that there are are enough for the model.

        Raises:
            DataError: they are not.
        """
        missing = [place for place, name in enumerate(MODALITIES) if not getattr(pair, name)]
        if not missing:
            return
        if len(missing) == len(MODALITIES):
            raise DataError(f"{joined(pair.names) or 'a pair'}: the picture is missing, and so is the other one")
        if not self.card().one_picture:
            name = pair.names[missing[0]]
            what = "the picture is empty" if name else f"there is no {MODALITIES[missing[0]]} picture"
            needs = f"model {self.connection.model} needs both of a pair"
            raise DataError(f"{name or joined(pair.names)}: {what}, and {needs}")

    def _understood(self, pair: Pair) -> dict[str, str]:
        """Returns the metadata of a pair as the model is told them, by column.

        Raises:
            DataError: a column or value that it does not take.
        """
        pictures = joined(pair.names)
        unknown = [name for name in pair.metadata if name not in self._columns]
        if unknown:
            taken = f"it takes {', '.join(self._columns)}" if self._columns else "it takes none"
            raise DataError(f"{pictures}: model {self.connection.model} has no metadata {unknown[0]!r}: {taken}")
        try:
            return {
                name: metadata_values.given(name, column, pair.metadata.get(name))
                for name, column in self._columns.items()
            }
        except DataError as error:
            raise DataError(f"{pictures}: {error}") from error

    def _request_bytes(self, pairs: Sequence[Pair]) -> int:
        return self._transport.request_bytes(_inputs(pairs, self._columns))

    def _answer_batch(self, batch: Sequence[Pair | UserError]) -> list[Answer | UserError]:
        """Returns answers and errors in order; the pairs are asked again without those that the server cannot use."""
        found: dict[int, Answer | UserError] = {}
        pairs = self._sorted_out(dict(enumerate(batch)), found)
        swaps = 0
        while pairs:
            try:
                found |= zip(pairs, self._predict_batch([*pairs.values()]), strict=True)
                break
            except _BadPicture as error:
                place = [*pairs][error.row]
                found[place] = DataError(str(error))
                del pairs[place]
            except _OtherMetadata as error:
                swaps += 1
                if swaps == MOST_SWAPS:
                    raise self._restless() from error
                pairs = self._sorted_out({place: self._checked(pair) for place, pair in pairs.items()}, found)
        return [found[place] for place in range(len(batch))]

    def _sorted_out(
        self, pairs: Mapping[int, Pair | UserError], found: dict[int, Answer | UserError]
    ) -> dict[int, Pair]:
        """Returns those that can be asked about; the errors are put among what is found."""
        found |= {place: pair for place, pair in pairs.items() if isinstance(pair, UserError)}
        return {place: pair for place, pair in pairs.items() if isinstance(pair, Pair)}

    def _restless(self) -> QueryError:
        return QueryError(f"{self._named} takes other metadata each time that it is asked: name a version")

    def _predict_batch(self, pairs: Sequence[Pair]) -> Sequence[Answer | UserError]:
        """Returns the answers to one request, or to its halves if it is too much for the server."""
        try:
            outputs, version, card = self._call(PREDICT, pairs, {})
        except Refused as error:
            if error.status not in TOO_MUCH:
                raise
            if len(pairs) == 1:
                return [error]
            middle = len(pairs) // 2
            return [*self._answer_batch(pairs[:middle]), *self._answer_batch(pairs[middle:])]
        return self._answers(outputs, version, card, pairs)

    def _call(self, signature: str, pairs: Sequence[Pair], more: Inputs) -> tuple[Outputs, int | None, ServedCard]:
        """Returns the outputs, the version that answered, and its card."""
        swaps = 0
        while True:
            outputs, version = self._send(signature, pairs, more)
            try:
                return outputs, version, self.card(version)
            except Refused as error:
                swaps += 1
                if error.status not in GONE or swaps == MOST_SWAPS:
                    raise

    def _send(self, signature: str, pairs: Sequence[Pair], more: Inputs) -> tuple[Outputs, int | None]:
        try:
            return self._transport.predict(signature, {**_inputs(pairs, self._columns), **more})
        except Refused as error:
            bad = _BAD_PICTURE.search(error.details)
            if bad and bad.group(1) in MODALITIES and int(bad.group(2)) < len(pairs):
                row, place = int(bad.group(2)), MODALITIES.index(bad.group(1))
                raise _BadPicture(f"{pairs[row].names[place]}: {bad.group(3)}", row) from error
            question = _BAD_QUESTION.search(error.details)
            if question:
                raise QueryError(f"the task or class to explain {question.group(1)}") from error
            if _OTHER_INPUTS.search(error.details) and self._has_other_columns():
                raise _OtherMetadata from error
            raise

    def _has_other_columns(self) -> bool:
        """Returns whether the version that is served now takes other metadata than so far; asks it, and keeps that."""
        self._cards.pop(None, None)
        before, self._columns = self._columns, self.card().metadata
        return before != self._columns

    def _ask_card(self, version: int | None) -> tuple[ServedCard, int | None]:
        """Returns the card, and the version that told it if it is known."""
        try:
            outputs, answered = self._transport.predict(DESCRIBE, {"anything": [b""]}, version)
        except Refused as error:
            if _NO_DESCRIPTION.search(error.details):
                return served.legacy(), version
            raise
        told = outputs.get("card", np.empty(0))
        try:
            return ServedCard.from_json(told[0] if told.shape == (1,) else ""), answered
        except DataError as error:
            raise QueryError(f"{self._named} does not tell its tasks by {DESCRIBE}: {error}") from error

    def _answers(self, outputs: Outputs, version: int | None, card: ServedCard, pairs: Sequence[Pair]) -> list[Answer]:
        count = len(pairs)
        wrong = _misfit(outputs, card, count)
        if wrong and version is None:
            # The server does not say who answers: perhaps the version has changed since it told its card.
            self._cards.clear()
            card = self.card()
            wrong = _misfit(outputs, card, count)
        if wrong:
            raise QueryError(f"{self._named} is no lesion model: its answer has no {wrong}")
        broken = broken_tasks(outputs, card.tasks)
        if broken:
            told = ", ".join(f"{name} for {some} of {count} pairs" for name, some in broken.items())
            raise QueryError(
                f"the answers of {self._named} are no finite numbers: {told}; the served version has diverged: serve "
                "another one"
            )
        return [
            Answer(
                {task.name: tuple(float(value) for value in outputs[task.name][row]) for task in card.tasks},
                {name: float(outputs[output_of_target(name)][row]) for name in card.targets},
                {name: int(outputs[name][row]) for name in card.scores},
                self.connection.model,
                version,
                card,
                self._understood(pair),
            )
            for row, pair in enumerate(pairs)
        ]

    @property
    def _named(self) -> str:
        return f"model {self.connection.model} at {self.connection.server}"

    def _row(self, outputs: Mapping[str, np.ndarray], name: str) -> np.ndarray:
        if name not in outputs:
            raise QueryError(f"model {self.connection.model} gives no {name}: it was not exported by this package")
        return outputs[name][0]
