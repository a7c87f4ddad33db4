"""The runs that an ensemble is made of, as environment.json lists them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amfam_tf.errors import RunError

KEY = "members"


@dataclass(frozen=True)
class Member:
    """A run of an ensemble.

    Attributes:
        run: name of its folder.
        method, seed: of its configuration.
        fold: that it left out, from 0; None for the splits as they are.
        model_sha256: digest of its weights.
        data_fingerprint: of the data that it was trained on; None if its folder does not say.
    """

    run: str
    method: str
    seed: int
    fold: int | None
    model_sha256: str
    data_fingerprint: str | None


def read(environment: Mapping[str, Any]) -> tuple[Member, ...]:
    """Returns the members that environment.json lists; () if it lists none.

    Raises:
        RunError: it is damaged.
    """
    try:
        return tuple(Member(**one) for one in environment.get(KEY, ()))
    except TypeError as error:
        raise RunError(f"environment.json is damaged: {KEY}: {error}") from error
