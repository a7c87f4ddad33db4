"""A case on its way through batch prediction: row of a source, squares of each of its pairs, answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class PairRow:
    """A case as a source has it.

    Attributes:
        case_num: its number.
        clinical: path or URL of the first picture, "" if it may be missing and is; for records, where it is, for
            messages.
        dermoscopic: likewise.
        error: why it cannot be predicted, as far as the source's table tells; else None.
        contents: bytes of all files of each modality, if the source holds them.
        metadata: what is known beside the pictures, by column; None for a version that takes nothing.
        more: paths of the pictures of a view that are not its first, by modality.
    """

    case_num: int
    clinical: str
    dermoscopic: str
    error: str | None = None
    contents: Mapping[str, Sequence[bytes]] | None = None
    metadata: Mapping[str, str] | None = None
    more: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class DecodedPair:
    """A pair that the model can be asked about, or the reason why not.

    Attributes:
        shard: number of its shard.
        position: of its case within the shard, from 0.
        case_num: its number.
        squares: uint8 [S, S, 3] in [0, 255] by modality; None if there is an error.
        error: one line that names file and reason, or None.
        metadata: by column, each a value that the version takes.
        number: of the pair within its case, from 0.
    """

    shard: int
    position: int
    case_num: int
    squares: Mapping[str, np.ndarray] | None
    error: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    number: int = 0


@dataclass(frozen=True)
class PredictedPair:
    """What the model says about a pair, or the reason why it says nothing.

    Attributes:
        shard: number of its shard.
        position: of its case within the shard, from 0.
        case_num: its number.
        outputs: the model's outputs by name: float32 [classes] per task, and scalars; None if there is an error.
        error: one line that names file and reason, or None.
        number: of the pair within its case, from 0.
    """

    shard: int
    position: int
    case_num: int
    outputs: Mapping[str, np.ndarray] | None
    error: str | None = None
    number: int = 0


@dataclass(frozen=True)
class End:
    """Follows the pairs of a shard: how many there were."""

    shard: int
    pairs: int
