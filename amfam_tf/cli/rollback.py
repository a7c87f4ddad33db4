"""`amfam-tf rollback`: serve an older version again."""

from pathlib import Path

import click

from amfam_tf.cli.output import echo
from amfam_tf.cli.paths import UserPath


@click.command()
@click.argument("model", type=UserPath(exists=True, file_okay=False, path_type=Path))
@click.option("--to", type=click.IntRange(1, 2**63 - 1), help="Number of the version.  [default: the one before]")
@click.option("--reason", default="", help="Why, to be written down.")
def rollback(model: Path, to: int | None, reason: str) -> None:
    """Serve an older version of MODEL again, under the next number.

    MODEL is a folder such as saved_models/amfam. Servers take the version with the largest number, so they swap as for
    any release. Nothing is removed, and what is rolled back is not released again unless push.allow_withdrawn is set.
    """
    from amfam_tf.release.rollback import roll_back

    folder, number = roll_back(model, to, reason)
    echo(f"rolled back: {folder} has the content of version {number}")
