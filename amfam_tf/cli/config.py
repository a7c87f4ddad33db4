"""`amfam-tf config`: the resolved configuration, and a check of a configuration file."""

from pathlib import Path

import click

from amfam_tf import config as configuration
from amfam_tf.cli.options import configuration_options
from amfam_tf.cli.output import echo
from amfam_tf.cli.paths import UserPath
from amfam_tf.errors import ConfigError


@click.group(short_help="Show or validate a configuration.")
def config() -> None:
    """Show or validate a configuration.

    docs/configuration.md lists every key with its default.
    """


@config.command(short_help="Print the complete configuration as YAML.")
@configuration_options
def show(preset: str, overrides: tuple[str, ...]) -> None:
    """Print the complete configuration of a preset with overrides applied, as YAML.

    The output is itself a configuration file: save it and pass it to --preset.
    """
    chosen = configuration.load(preset, overrides)
    asked = configuration.asked_keys(preset, overrides)
    if asked:
        from amfam_tf import models

        models.refuse_unread([chosen], asked)
    click.echo(configuration.dump(chosen), nl=False)


@config.command(short_help="Check a configuration file.")
@click.argument("file", type=UserPath(path_type=Path, dir_okay=False))
def validate(file: Path) -> None:
    """Check keys, values and method of a configuration file, and list what differs from the defaults."""
    checked = configuration.read(file)
    from amfam_tf import models

    try:
        models.refuse_unread([checked], configuration.asked_keys(file))
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error
    changes = configuration.differences(configuration.Config(), checked)
    echo(f"{file}: valid, {len(changes)} value(s) differ from the defaults")
    for line in changes:
        echo(f"  {line}")
