"""The variables of an exported version, which have to be finite numbers."""

from pathlib import Path

import tensorflow as tf

from amfam_tf.errors import ExportError
from amfam_tf.files.plain_path import plain_path
from amfam_tf.finite import ADVICE, describe_broken


def check_weights(folder: Path) -> None:
    """Checks that the variables of a version are finite numbers: not every NaN among them reaches a sample's answer.

    Raises:
        ExportError: names the first variable that holds others.
        tf.errors.OpError: the variables cannot be read.
    """
    with plain_path(folder) as plain:
        stored = tf.train.load_checkpoint(str(plain / "variables" / "variables"))
        kinds = stored.get_variable_to_dtype_map()
        names = sorted(name for name, kind in kinds.items() if kind.is_floating)
        broken = describe_broken({name.replace(".S", "/"): stored.get_tensor(name) for name in names})
    if broken is not None:
        raise ExportError(f"{folder} cannot be used: {broken}, on which answers depend; {ADVICE}, and export again")
