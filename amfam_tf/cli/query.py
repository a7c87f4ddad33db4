"""`amfam-tf query`: ask a served model about one pair of pictures, a table of pairs or a folder."""

import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amfam_tf.cli.options import MOST_IN_BATCH, Number
from amfam_tf.cli.output import echo
from amfam_tf.cli.paths import UserPath
from amfam_tf.limits import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from amfam_tf.card.served import ServedCard
    from amfam_tf.client.client import Answer, Client
    from amfam_tf.client.pairs import PairPaths
    from amfam_tf.errors import UserError

EXISTING_FILE = UserPath(exists=True, dir_okay=False, path_type=Path)

Named = tuple["Answer | UserError", tuple[str, str]]


@click.command()
@click.argument("pairs", required=False, type=UserPath(exists=True, path_type=Path))
@click.option("--clinical", type=EXISTING_FILE, help="The clinical picture of one pair.")
@click.option("--dermoscopic", type=EXISTING_FILE, help="The dermoscopic picture of one pair.")
@click.option(
    "--metadata",
    "given",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="What is known beside the pictures, for a model that takes it; repeatable. Left out: unknown.",
)
@click.option("--server", help="HOST:PORT.  [default: localhost:8500, with --rest localhost:8501]")
@click.option("--model", default="amfam", show_default=True, help="Name of the model on the server.")
@click.option("--model-version", type=click.IntRange(0, 2**63 - 1), help="A version of it.  [default: the latest]")
@click.option("--rest", is_flag=True, help="REST instead of gRPC.")
@click.option("--json", "form", flag_value="json", help="Print JSON: an object for one pair, a list for PAIRS.")
@click.option("--csv", "form", flag_value="csv", help="Print a table with a row per pair.")
@click.option(
    "--explain",
    "picture",
    type=UserPath(dir_okay=False, path_type=Path),
    metavar="OUT.png",
    help="Write both pictures beside their Grad-CAM maps; one pair only.",
)
@click.option("--task", default="", help="With --explain: the task.  [default: the main one]")
@click.option("--class", "class_name", default="", help="With --explain: its class.  [default: the predicted one]")
@click.option(
    "--batch-size",
    type=click.IntRange(1, MOST_IN_BATCH),
    default=8,
    show_default=True,
    help="Most pairs in one request.",
)
@click.option(
    "--max-message-bytes",
    type=click.IntRange(1, 2**31 - 1),
    default=MAX_MESSAGE_BYTES,
    show_default=True,
    help="Longest request: fewer pairs in one if need be. The server has its own limit.",
)
@click.option(
    "--timeout",
    type=Number(0, 86_400, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds for one request, all attempts together.",
)
@click.option(
    "--attempts",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="How often to try while the server is unavailable.",
)
@click.option("--tls", is_flag=True, help="Encrypt; implied by the next three.")
@click.option("--tls-ca", type=EXISTING_FILE, help="PEM file of the authority that signed the server's certificate.")
@click.option("--tls-certificate", type=EXISTING_FILE, help="PEM file of the client's certificate, for mutual TLS.")
@click.option("--tls-key", type=EXISTING_FILE, help="PEM file of its key.")
def query(
    pairs: Path | None, clinical: Path | None, dermoscopic: Path | None, picture: Path | None, **options: Any
) -> None:
    """Ask a served model about one pair of pictures, or about PAIRS.

    PAIRS is a CSV file with the columns clinical and dermoscopic (paths relative to it), or a folder of files
    NAME_clinical.jpg and NAME_dermoscopic.jpg. For a model that takes one picture, --clinical or --dermoscopic may be
    left out, or a cell of the CSV file be empty. For a model that takes metadata the CSV file may have a column for
    each, as the data's card names it. A pair that cannot be used is an error at its place; the others are
    answered, and the exit status is 1. Works with amfam-tf serve and with TensorFlow Serving.
    """
    _check_usage(pairs, clinical, dermoscopic, picture, options)
    from amfam_tf.client.client import Client
    from amfam_tf.client.pairs import find_metadata, find_pairs

    told = _told(options["given"])
    listed = find_pairs(pairs, _note) if pairs else []
    with Client(_connection(options), options["rest"]) as client:
        if client.proxy:
            echo(f"{client.connection.server} is asked through the proxy of {client.proxy}", err=True)
        if pairs:
            metadata = find_metadata(pairs, lambda: client.card().metadata)
            answers = _predict(client, listed, metadata or [{}] * len(listed), options)
            _print_all(answers, len(listed), options["form"], client)
        else:
            answer, names = _ask_one(client, (clinical, dermoscopic), told, picture, options)
            _print_one(answer, names, options["form"])


def _note(text: str) -> None:
    echo(f"note: {text}", err=True)


def _told(given: Iterable[str]) -> dict[str, str]:
    """Returns the values of `--metadata` by column."""
    told: dict[str, str] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise click.UsageError(f"--metadata takes COLUMN=VALUE, such as age=54. Received: {text!r}")
        if name in told:
            raise click.UsageError(f"--metadata names {name} twice")
        told[name] = value
    return told


def _check_usage(
    pairs: Path | None, clinical: Path | None, dermoscopic: Path | None, picture: Path | None, options: dict[str, Any]
) -> None:
    if pairs is None and not (clinical or dermoscopic):
        raise click.UsageError("--clinical, --dermoscopic or both are needed, or PAIRS")
    if pairs is not None and (clinical or dermoscopic or picture):
        raise click.UsageError("PAIRS stands alone: --clinical, --dermoscopic and --explain are for one pair")
    if pairs is not None and options["given"]:
        raise click.UsageError("--metadata is for one pair: give the table of PAIRS a column for each")
    if not picture and (options["task"] or options["class_name"]):
        raise click.UsageError("--task and --class say what --explain OUT.png explains")
    if bool(options["tls_certificate"]) != bool(options["tls_key"]):
        raise click.UsageError("--tls-certificate and --tls-key belong together")


def _connection(options: dict[str, Any]) -> Any:
    from amfam_tf.client.transport import PORTS, Connection

    return Connection(
        server=options["server"] or f"localhost:{PORTS['REST' if options['rest'] else 'gRPC']}",
        model=options["model"],
        version=options["model_version"],
        timeout=options["timeout"],
        attempts=options["attempts"],
        tls=options["tls"],
        ca=options["tls_ca"],
        certificate=options["tls_certificate"],
        key=options["tls_key"],
        max_message_bytes=options["max_message_bytes"],
    )


def _predict(
    client: "Client", paths: "list[PairPaths]", metadata: list[dict[str, str]], options: dict[str, Any]
) -> Iterator[Named]:
    """Yields answers and errors; a pair that cannot be read is an error like one that the server cannot use."""
    from amfam_tf.client.client import Pair, names_of
    from amfam_tf.errors import DataError

    def read(pair: "PairPaths", told: dict[str, str]) -> Pair | DataError:
        try:
            return Pair.read(*pair, told)
        except DataError as error:
            return error

    answers = client.answer_many(map(read, paths, metadata), options["batch_size"])
    for answer, pair in zip(answers, paths, strict=True):
        yield answer, names_of(pair)


def _ask_one(
    client: "Client", paths: "PairPaths", told: dict[str, str], picture: Path | None, options: dict[str, Any]
) -> Any:
    """Returns the answer for one pair and its names; with a picture to write, the explanation too."""
    from amfam_tf.client.card import write_panel
    from amfam_tf.client.client import Pair

    pair = Pair.read(*paths, told)
    if picture is None:
        return client.predict(pair), pair.names
    explanation = client.explain(pair, options["task"], options["class_name"])
    write_panel(explanation, picture)
    echo(f"written: {picture}", err=True)
    return explanation.answer, pair.names


def _print_all(answers: Iterable[Named], count: int, form: str | None, client: "Client") -> None:
    """Prints the answers to a list, and errors at their places.

    Raises:
        DataError: there are errors; says how many.
        UserError: the server has failed; says how many pairs have got no answer.
    """
    from amfam_tf.errors import DataError, UserError

    tally = _Tally(answers)
    try:
        if form == "csv":
            _print_csv(tally, client.card)
        else:
            {"json": _print_json, None: _print_cards}[form](tally)
    except UserError as error:
        left = count - tally.done
        if left < count:
            raise type(error)(f"{error}; {left} of {count} pairs have not been asked") from error
        raise
    if tally.failures:
        raise DataError(f"{len(tally.failures)} of {count} pairs could not be asked: {tally.failures[0]}")


class _Tally:
    """Answers as they come, and what has become of them.

    Attributes:
        done: how many have come.
        failures: the errors among them.
    """

    def __init__(self, answers: Iterable[Named]):
        self._answers = answers
        self.done = 0
        self.failures: list[UserError] = []

    def __iter__(self) -> Iterator[Named]:
        from amfam_tf.errors import UserError

        for answer, names in self._answers:
            self.done += 1
            if isinstance(answer, UserError):
                self.failures.append(answer)
            yield answer, names


def _print_one(answer: "Answer", names: tuple[str, str], form: str | None) -> None:
    if form == "json":
        click.echo(_json(answer, names))
    elif form == "csv":
        _print_csv([(answer, names)], lambda: answer.card)
    else:
        _print_cards([(answer, names)])


def _json(answer: "Answer | UserError", names: tuple[str, str]) -> str:
    import json

    from amfam_tf.client.card import failure_to_json, to_json
    from amfam_tf.errors import UserError
    from amfam_tf.text import ascii_json

    written = failure_to_json(answer, names) if isinstance(answer, UserError) else to_json(answer, names)
    return ascii_json(json.dumps(written, indent=2))


def _print_json(answers: Iterable[Named]) -> None:
    """Prints a list, each answer as it comes; it is closed whatever happens."""
    separator = "["
    try:
        for answer in answers:
            click.echo(f"{separator}\n{textwrap.indent(_json(*answer), '  ')}", nl=False)
            separator = ","
    finally:
        click.echo("[]" if separator == "[" else "\n]")


def _print_csv(answers: Iterable[Named], ask_card: "Callable[[], ServedCard]") -> None:
    """Prints a table, each answer as it comes; the columns are asked for if the first pair has none.

    Raises:
        QueryError: the model has got other columns meanwhile.
    """
    import csv
    import sys

    from amfam_tf.client.card import columns, failure_to_row, to_row
    from amfam_tf.errors import QueryError, UserError
    from amfam_tf.text import visible

    writer, card = None, None
    for answer, names in answers:
        if isinstance(answer, UserError):
            card = card or ask_card()
            row = failure_to_row(answer, names, card)
        else:
            card, row = card or answer.card, to_row(answer, names)
        if writer is None:
            writer = csv.DictWriter(sys.stdout, columns(card), lineterminator="\n")
            writer.writeheader()
        if row.keys() != set(writer.fieldnames):
            raise QueryError("the model has got a version with other columns meanwhile: name one by --model-version")
        if sys.stdout.isatty():  # a file gets the names as they are
            row = {name: visible(value) if isinstance(value, str) else value for name, value in row.items()}
        writer.writerow(row)


def _print_cards(answers: Iterable[Named]) -> None:
    from amfam_tf.cli.options import console
    from amfam_tf.client.card import print_card, print_failure
    from amfam_tf.errors import UserError

    for number, (answer, names) in enumerate(answers):
        if number:
            click.echo()
        if isinstance(answer, UserError):
            print_failure(answer, names, console())
        else:
            print_card(answer, names, console())
