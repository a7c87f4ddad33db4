"""`amfam-tf lineage`: which data, configuration and code made a version."""

import json
from pathlib import Path

import click

from amfam_tf.cli.output import echo, echo_json
from amfam_tf.cli.paths import UserPath


@click.command()
@click.argument("version", type=UserPath(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the whole record of every step.")
def lineage(version: Path, as_json: bool) -> None:
    """Tell which data, configuration and code made VERSION, and check its files.

    VERSION is a folder such as saved_models/amfam/3, or that of a model: then it is its latest version.
    """
    from amfam_tf.release import lineage as lineages

    found = lineages.find(version)
    if as_json:
        echo_json(json.dumps(found.lineage, indent=2))
        return
    for line in lineages.describe(found):
        echo(line)
