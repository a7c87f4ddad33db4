"""The `amfam-tf` command: a table of verbs, each imported only when it is called, and one way to end in an error.

Exit status: 0 success, 1 an error (one line on stderr), 2 wrong usage, 130 interrupted, 143 ended by SIGTERM.
"""

import functools
import importlib
import re
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import click

from amfam_tf import __version__
from amfam_tf.cli.output import accept_all_letters, echo
from amfam_tf.cli.quiet import quiet_tensorflow
from amfam_tf.cli.signals import Interruption, interruptible
from amfam_tf.errors import UserError, one_line
from amfam_tf.fast_kernels import prefer_fast_kernels
from amfam_tf.files import storage
from amfam_tf.text import visible

VERBS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "demo": ("amfam_tf.cli.demo", "Draw data, check, fit, evaluate, export, serve and query in one go."),
        "synth": (
            "amfam_tf.cli.synth",
            "Draw a labelled data set in the layout of Derm7pt or MILK10k, or of any card, into a new folder.",
        ),
        "check": ("amfam_tf.cli.check", "Check a data set in DATA: count its cases and list every problem."),
        "card": ("amfam_tf.cli.card", "Draft a card from TABLE, a CSV file or workbook with a row for each case."),
        "ingest": (
            "amfam_tf.cli.ingest",
            "Turn a data set or a CSV of pairs into records, with schema, statistics and anomalies.",
        ),
        "methods": (
            "amfam_tf.cli.methods",
            "List the methods: a sentence, source, parameters and multiply-adds of each.",
        ),
        "fit": ("amfam_tf.cli.fit", "Fit a method; the same run folder again resumes."),
        "evaluate": ("amfam_tf.cli.evaluate", "Predict a split of DATA with the finished RUN and measure it."),
        "explain": (
            "amfam_tf.cli.explain",
            "Draw where in both pictures a RUN sees what speaks for a class (Grad-CAM).",
        ),
        "compare": (
            "amfam_tf.cli.compare",
            "Fit and evaluate several methods with several seeds; one table, published values beside.",
        ),
        "sweep": (
            "amfam_tf.cli.sweep",
            "Fit a method over a grid of configuration values; measure validation accuracy.",
        ),
        "ensemble": (
            "amfam_tf.cli.ensemble",
            "Make of finished RUNS the run OUT, which answers with the mean of what they answer.",
        ),
        "export": (
            "amfam_tf.cli.export",
            "Export RUN as the next version of a model for TensorFlow Serving, or verify one.",
        ),
        "release": (
            "amfam_tf.cli.release",
            "Ingest, fit, evaluate, bless, try and push a version, or say what refused it.",
        ),
        "lineage": (
            "amfam_tf.cli.lineage",
            "Tell which data, configuration and code made VERSION, and check its files.",
        ),
        "rollback": ("amfam_tf.cli.rollback", "Serve an older version of MODEL again, under the next number."),
        "serve": ("amfam_tf.cli.serve", "Serve a model like TensorFlow Serving: gRPC, and REST if asked for."),
        "paper": ("amfam_tf.cli.paper", "Show the published tables as printed and as corrected by arithmetic."),
        "query": (
            "amfam_tf.cli.query",
            "Ask a served model about one pair of pictures, or about PAIRS.",
        ),
        "predict": ("amfam_tf.cli.predict", "Write a challenge's file for the blind pictures of DATA."),
        "batch-predict": (
            "amfam_tf.cli.batch_predict",
            "Predict all pairs of SOURCE with an exported version, into Parquet files.",
        ),
        "config": ("amfam_tf.cli.config", "Show or validate a configuration."),
        "env": ("amfam_tf.cli.env", "Print versions and devices for a bug report."),
    }
)
"""verb -> (module, one-line help). The module holds a click command of the module's own last name."""

RESUMABLE = ("demo", "fit", "compare", "sweep", "release", "batch-predict")
"""Verbs of which the same command goes on where it was interrupted."""
LONGEST_MESSAGE = 400
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class LazyGroup(click.Group):
    """A group that imports a verb's module only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the verbs in the order of the table."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns the command of a verb, or None if there is no such verb."""
        if cmd_name not in VERBS:
            return None
        ctx.ensure_object(dict)["verb"] = cmd_name
        module = VERBS[cmd_name][0]
        command = getattr(importlib.import_module(module), module.rpartition(".")[2])
        return _with_debug(command)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a verb; an interruption becomes click's own, without its empty line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise click.Abort from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the verbs and their one-line help from the table, importing none of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(verb, text) for verb, (_, text) in VERBS.items()])


def _remember_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(dict)["debug"] = True


def _debug_option() -> click.Option:
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        callback=_remember_debug,
        help="Show the traceback of an error.",
    )


def _convert_local(
    kind: click.Path, convert: Any, value: Any, param: click.Parameter | None, ctx: click.Context | None
) -> Any:
    """Converts a path; a URL, which would become a folder named gs: here, is wrong usage."""
    if isinstance(value, str) and _URL.match(value):
        kind.fail(f"{value} is not on this machine, and only ingest and batch-predict read object stores", param, ctx)
    return convert(value, param, ctx)


def _with_debug(command: click.Command) -> click.Command:
    """Adds --debug to a verb and its subcommands, so that it can stand anywhere; paths here are no URLs."""
    for parameter in command.params:
        if isinstance(parameter.type, click.Path) and "convert" not in vars(parameter.type):
            convert = functools.partial(_convert_local, parameter.type, parameter.type.convert)
            parameter.type.convert = convert  # type: ignore[method-assign]
    if all(parameter.name != "debug" for parameter in command.params):
        command.params.append(_debug_option())
    for subcommand in getattr(command, "commands", {}).values():
        _with_debug(subcommand)
    return command


@click.group(cls=LazyGroup, params=[_debug_option()], context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="amfam-tf")
def amfam_tf() -> None:
    """Answers about a lesion from a clinical and a dermoscopic image of it, by AMFAM (Wang et al. 2022).

    A research tool, not a medical device. `amfam-tf VERB --help` explains each verb.
    """


def prepare_environment() -> None:
    """Sets what TensorFlow reads when it is imported; Keras is settled by the package itself."""
    prefer_fast_kernels()
    quiet_tensorflow()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status.

    Args:
        arguments: the words after `amfam-tf`; the process's own by default.
    """
    prepare_environment()
    accept_all_letters()
    with interruptible() as interruption:
        return _run(None if arguments is None else list(arguments), interruption)


def _run(words: list[str] | None, interruption: Interruption) -> int:
    state: dict[str, Any] = {"debug": False, "verb": None}
    try:
        status = amfam_tf.main(words, prog_name="amfam-tf", standalone_mode=False, obj=state)
    except click.ClickException as error:
        error.message = visible(error.message, keep="\n")  # type: ignore[misc]
        error.show()
        return error.exit_code
    except click.Abort:
        return _end_interrupted(interruption, state["verb"])
    except UserError as error:
        if state["debug"]:
            raise
        return _fail(f"error: {error}", 1)
    except Exception as error:
        if state["debug"]:
            raise
        if interruption.number is not None:
            # Foreign code that is interrupted ends in errors of its own (a SystemError of an extension in C).
            return _end_interrupted(interruption, state["verb"])
        disk = storage.describe(error)
        if disk is not None:
            return _fail(f"error: {disk}", 1)
        return _fail(f"error: {_describe(error)} (unexpected: run the same command with --debug for the traceback)", 1)
    return status if isinstance(status, int) else 0


def _end_interrupted(interruption: Interruption, verb: str | None) -> int:
    goes_on = ": the same command goes on from there" if verb in RESUMABLE else ""
    return _fail(interruption.describe() + goes_on, interruption.status)


def _describe(error: Exception) -> str:
    message, kind = one_line(error), type(error).__name__
    if len(message) > LONGEST_MESSAGE:
        message = message[:LONGEST_MESSAGE] + "..."
    return kind if message == kind else f"{kind}: {message}"


def _fail(line: str, status: int) -> int:
    echo(line, err=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
