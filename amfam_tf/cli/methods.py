"""`amfam-tf methods`: every method of the comparison with its source and what it costs."""

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from amfam_tf.cli.options import configuration_options, console, working
from amfam_tf.cli.output import echo_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amfam_tf.models.describe import Cost, Description
    from amfam_tf.report.table import Table


@click.command(short_help="List the methods: a sentence, source, parameters and multiply-adds of each.")
@configuration_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def methods(preset: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """List the methods of the comparison.

    Each one is built at the sizes of the configuration, with random weights: nothing is downloaded. Parameters are
    counted for training and for what a prediction needs; multiply-adds are those of the convolutions and dense layers
    in one prediction.
    """
    from amfam_tf import config as configuration

    chosen = configuration.load(preset, overrides)

    from amfam_tf.models.describe import describe_methods
    from amfam_tf.report.terminal import to_rich

    found = []
    with working("building the methods") as status:
        for one in describe_methods(chosen):
            found.append(one)
            status.update(f"building the methods: {one.name} done")
    if as_json:
        echo_json(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
        return
    terminal = console()
    terminal.print(to_rich(_descriptions(found), framed=False))
    terminal.print()
    terminal.print(to_rich(_costs(found), framed=False))
    for one in found:
        if one.problem:
            terminal.print(f"{one.name}: {one.problem}", soft_wrap=True, markup=False)


def _descriptions(found: "Sequence[Description]") -> "Table":
    from amfam_tf.report.table import text_table

    return text_table("", ["method", "what it is", "source"], [[one.name, one.summary, one.source] for one in found])


def _costs(found: "Sequence[Description]") -> "Table":
    from amfam_tf.report.table import Table, TableRow

    headings = ["method", "backbone", "image", "parameters", "served", "multiply-adds"]
    rows = [TableRow([one.name, *(["-"] * 5 if one.cost is None else _cells(one.cost))]) for one in found]
    return Table("", headings, rows, text=frozenset({0, 1}))


def _cells(cost: "Cost") -> list[str]:
    counts = (cost.parameters, cost.served_parameters, cost.multiply_adds)
    return [cost.backbone, f"{cost.image_size}", *(_short(count) for count in counts)]


def _short(count: int) -> str:
    """Returns a count in millions: 7,218,227,968 as "7,218 M"; with decimals below a thousand."""
    millions = count / 1e6
    return f"{millions:,.2f} M" if millions < 10 else f"{millions:,.1f} M" if millions < 1000 else f"{millions:,.0f} M"
