"""Options that are paths: ~ is the user's home folder, also where no shell has seen it (--data=~/pictures)."""

import os
from typing import Any

import click

from amfam_tf.config import without_home
from amfam_tf.errors import ConfigError


def _expanded(value: Any, kind: Any, parameter: click.Parameter | None, ctx: click.Context | None) -> Any:
    if not isinstance(value, str | os.PathLike):
        return value
    try:
        return without_home(os.fspath(value))
    except ConfigError as error:
        kind.fail(str(error), parameter, ctx)


class UserPath(click.Path):
    """A path on this machine."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the path, as `click.Path` does."""
        return super().convert(_expanded(value, self, param, ctx), param, ctx)


class Place(click.ParamType):  # type: ignore[type-arg]
    """A path on this machine or a URL; gives a str."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the text."""
        return str(_expanded(value, self, param, ctx))
