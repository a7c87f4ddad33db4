"""`amfam-tf query`: ask a served model about one pair of pictures, a table of pairs or a folder."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amfam_tf.cli.options import MOST_IN_BATCH, Number

if TYPE_CHECKING:
    from amfam_tf.serving.client import Answer, Client

EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

Named = tuple["Answer", tuple[str, str]]


@click.command()
@click.argument("pairs", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--clinical", type=EXISTING_FILE, help="The clinical picture of one pair.")
@click.option("--dermoscopic", type=EXISTING_FILE, help="The dermoscopic picture of one pair.")
@click.option("--server", help="HOST:PORT.  [default: localhost:8500, with --rest localhost:8501]")
@click.option("--model", default="amfam", show_default=True, help="Name of the model on the server.")
@click.option("--model-version", type=click.IntRange(0, 2**63 - 1), help="A version of it.  [default: the latest]")
@click.option("--rest", is_flag=True, help="REST instead of gRPC.")
@click.option("--json", "form", flag_value="json", help="Print JSON: an object for one pair, a list for PAIRS.")
@click.option("--csv", "form", flag_value="csv", help="Print a table with a row per pair.")
@click.option(
    "--explain",
    "picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="OUT.png",
    help="Write both pictures beside their Grad-CAM maps; one pair only.",
)
@click.option("--task", default="", help="With --explain: the task.  [default: DIAG]")
@click.option("--class", "class_name", default="", help="With --explain: its class.  [default: the predicted one]")
@click.option(
    "--batch-size", type=click.IntRange(1, MOST_IN_BATCH), default=8, show_default=True, help="Pairs in one request."
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
    NAME_clinical.jpg and NAME_dermoscopic.jpg. Works with amfam-tf serve and with TensorFlow Serving.
    """
    _check_usage(pairs, clinical, dermoscopic, picture, options)
    from amfam_tf.serving.client import Client
    from amfam_tf.serving.pairs import find_pairs

    paths = find_pairs(pairs, _note) if pairs else [(clinical, dermoscopic)]
    with Client(_connection(options), options["rest"]) as client:
        if picture:
            answers: Iterable[Named] = [_explain(client, paths[0], picture, options)]
        else:
            answers = _predict(client, paths, options["batch_size"])
        _print(answers, options["form"], is_list=pairs is not None)


def _note(text: str) -> None:
    click.echo(f"note: {text}", err=True)


def _check_usage(
    pairs: Path | None, clinical: Path | None, dermoscopic: Path | None, picture: Path | None, options: dict[str, Any]
) -> None:
    if pairs is None and not (clinical and dermoscopic):
        raise click.UsageError("--clinical and --dermoscopic are needed, or PAIRS")
    if pairs is not None and (clinical or dermoscopic or picture):
        raise click.UsageError("PAIRS stands alone: --clinical, --dermoscopic and --explain are for one pair")
    if not picture and (options["task"] or options["class_name"]):
        raise click.UsageError("--task and --class say what --explain OUT.png explains")
    if bool(options["tls_certificate"]) != bool(options["tls_key"]):
        raise click.UsageError("--tls-certificate and --tls-key belong together")


def _connection(options: dict[str, Any]) -> Any:
    from amfam_tf.serving.transport import PORTS, Connection

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
    )


def _predict(client: "Client", paths: list[tuple[Path, Path]], batch_size: int) -> Iterator[Named]:
    from amfam_tf.serving.client import Pair

    answers = client.predict_many((Pair.read(*pair) for pair in paths), batch_size)
    for answer, pair in zip(answers, paths, strict=True):
        yield answer, (str(pair[0]), str(pair[1]))


def _explain(client: "Client", paths: tuple[Path, Path], picture: Path, options: dict[str, Any]) -> Named:
    from amfam_tf.serving.card import write_panel
    from amfam_tf.serving.client import Pair

    pair = Pair.read(*paths)
    explanation = client.explain(pair, options["task"], options["class_name"])
    write_panel(explanation, picture)
    click.echo(f"written: {picture}", err=True)
    return explanation.answer, pair.names


def _print(answers: Iterable[Named], form: str | None, is_list: bool) -> None:
    if form == "json":
        _print_json(answers, is_list)
    elif form == "csv":
        _print_csv(answers)
    else:
        _print_cards(answers)


def _print_json(answers: Iterable[Named], is_list: bool) -> None:
    import json

    from amfam_tf.serving.card import to_json

    found = [to_json(*answer) for answer in answers]
    click.echo(json.dumps(found if is_list else found[0], indent=2, ensure_ascii=False))


def _print_csv(answers: Iterable[Named]) -> None:
    import csv
    import sys

    from amfam_tf.serving.card import to_row

    writer = None
    for answer in answers:
        row = to_row(*answer)
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)


def _print_cards(answers: Iterable[Named]) -> None:
    from amfam_tf.cli.options import console
    from amfam_tf.serving.card import print_card

    for number, answer in enumerate(answers):
        if number:
            click.echo()
        print_card(*answer, console())
