"""`amfam-tf env`: versions and devices, to paste into a bug report."""

import json
from collections.abc import Mapping
from typing import Any

import click

from amfam_tf.cli.output import echo, echo_json


@click.command(short_help="Print versions and devices for a bug report.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def env(as_json: bool) -> None:
    """Print versions of Python and packages, processor, memory and devices.

    Host names, user names and paths are not part of it.
    """
    from amfam_tf import environment

    description = environment.describe()
    if as_json:
        echo_json(json.dumps(description, indent=2))
        return
    for line in _lines(description):
        echo(line)


def _lines(values: Mapping[str, Any], indent: str = "") -> list[str]:
    width = max((len(key) for key in values), default=0)
    lines = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}", *_lines(value, indent + "  ")]
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            lines.append(f"{indent}{key:<{width}}  {'-' if text is None or text == '' else text}")
    return lines
