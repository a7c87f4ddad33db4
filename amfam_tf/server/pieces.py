"""Long requests in pieces, so that others get through between them."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from amfam_tf.server.demand import Demand
from amfam_tf.server.malloc_trim import trim_soon
from amfam_tf.server.memory import MemoryBudget, Patience
from amfam_tf.server.status import ServingError

Outputs = dict[str, np.ndarray]
Run = Callable[[slice | None], Outputs]
_INDEX = re.compile(r"(input \w+, index |, Index: )(\d+)")
"""Our own graphs', and that of TensorFlow's parser of tf.Examples."""


@contextmanager
def admitted(demand: Demand, memory: MemoryBudget, patience: Patience) -> Iterator[Callable[[Run], Outputs]]:
    """Holds what a request takes; yields the function that runs it, in one piece or in several.

    Raises:
        ServingError: RESOURCE_EXHAUSTED, at once if the request could never run; as `MemoryBudget`.
    """
    pieces = demand.pieces(memory.piece_bytes)
    sizes = [demand.piece_bytes(piece) for piece in pieces]
    memory.check_request(demand.held_bytes + max(sizes), f"the request of {demand.rows} rows")
    if len(pieces) == 1 and sizes[0] <= memory.piece_bytes:
        with memory.holding(demand.held_bytes + sizes[0], patience):
            yield lambda run: run(None)
        return

    def in_turns(run: Run) -> Outputs:
        parts = []
        for number, (piece, size) in enumerate(zip(pieces, sizes, strict=True)):
            with memory.turn(size, number, patience):
                parts.append(run(piece if len(pieces) > 1 else None))
            if len(pieces) > 1 and not _has_rows(parts[-1], piece.stop - piece.start):
                return _whole(run, demand, memory, patience)
        return parts[0] if len(parts) == 1 else _joined(parts)

    try:
        with memory.holding(demand.held_bytes, patience):
            yield in_turns
    finally:
        # Not after each piece: the next one needs the same memory again.
        trim_soon()


def with_whole_index(error: ServingError, start: int) -> ServingError:
    """Returns an error of a piece that begins at row `start`, with indices that count from the request's first row."""
    message = _INDEX.sub(lambda found: f"{found[1]}{int(found[2]) + start}", error.message)
    return ServingError(error.code, message)


def _has_rows(outputs: Outputs, rows: int) -> bool:
    """Says whether all outputs have one entry per row."""
    return all(np.ndim(array) > 0 and len(array) == rows for array in outputs.values())


def _whole(run: Run, demand: Demand, memory: MemoryBudget, patience: Patience) -> Outputs:
    """Runs a request of a signature whose outputs are not by row, as a piece showed: it can only run uncut."""
    size = demand.piece_bytes(slice(0, demand.rows))
    memory.check_request(demand.held_bytes + size, f"the request of {demand.rows} rows, which cannot be cut,")
    with memory.turn(size, 0, patience):
        return run(None)


def _joined(parts: Sequence[Outputs]) -> Outputs:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
