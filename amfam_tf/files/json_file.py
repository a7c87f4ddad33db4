"""JSON as the standard has it: no NaN, no infinity; what is undefined is null."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amfam_tf.errors import UserError
from amfam_tf.files.writing import write_text


def plain(value: Any) -> Any:
    """Returns `value` as dicts, lists and Python scalars; NaN and infinity become None.

    Args:
        value: mappings, sequences, arrays and NumPy scalars, nested at will.

    Raises:
        TypeError: something else is in it.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy, which need not be imported for the rest
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    raise TypeError(f"cannot be written as JSON. Received: {value!r} of type {type(value).__name__}")


def dumps(value: Any) -> str:
    """Returns strictly valid JSON text of `plain(value)`, indented, with a line end."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write(path: Path, value: Any, refusal: type[UserError] | None = None) -> None:
    """Writes `dumps(value)` to `path`, see `files.writing.writing`."""
    write_text(path, dumps(value), refusal)


def read(path: Path) -> Any:
    """Returns the content of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds no JSON.
    """
    return json.loads(path.read_text(encoding="utf-8"))
