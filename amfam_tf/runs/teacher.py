"""The run that another one has learned from, as environment.json describes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amfam_tf.errors import RunError

KEY = "teacher"


@dataclass(frozen=True)
class Teacher:
    """A run whose answers were learned beside the labels.

    Attributes:
        run: name of its folder.
        method: of its configuration.
        folds: different folds that its members, or those of its own teacher, left out; 1 for one or none.
        model_sha256: digest of its weights.
        data_fingerprint: of the data that it was trained on; None if its folder does not say.
    """

    run: str
    method: str
    folds: int
    model_sha256: str
    data_fingerprint: str | None


def read(environment: Mapping[str, Any]) -> Teacher | None:
    """Returns the teacher that environment.json describes; None if it describes none.

    Raises:
        RunError: it is damaged.
    """
    if KEY not in environment:
        return None
    try:
        return Teacher(**environment[KEY])
    except TypeError as error:
        raise RunError(f"environment.json is damaged: {KEY}: {error}") from error
