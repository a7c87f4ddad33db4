"""What a graph needs per row of a request, told from the shapes of its tensors."""

import math
from collections import defaultdict
from typing import Any

import tensorflow as tf

_FUNCTION_ATTRIBUTES = ("f", "then_branch", "else_branch", "body")
_CALLS = {
    "PartitionedCall",
    "StatefulPartitionedCall",
    "If",
    "StatelessIf",
    "While",
    "StatelessWhile",
}


class GraphMemory:
    """Counts tensors whose first dimension is free and whose others are known, as long as somebody still reads them.

    Operations are taken in the order of the graph, and so is what a called function needs at its highest. Decoding is
    left out: pictures have sizes of their own.

    Args:
        root: the graph that holds all functions.
    """

    def __init__(self, root: tf.Graph) -> None:
        self._root = root
        self._known: dict[str, int] = {}

    def row_bytes(self, graph: tf.Graph) -> int:
        """Returns the highest sum of tensors that are alive together, bytes per row."""
        operations = graph.get_operations()
        last_reader = {tensor.ref(): number for number, op in enumerate(operations) for tensor in op.inputs}
        ends: dict[int, int] = defaultdict(int)
        for tensor, number in last_reader.items():
            ends[number] += _row_bytes(tensor.deref())
        alive = highest = 0
        for number, op in enumerate(operations):
            alive += sum(map(_row_bytes, op.outputs))
            highest = max(highest, alive + self._called(op))
            alive -= ends[number] + sum(_row_bytes(out) for out in op.outputs if out.ref() not in last_reader)
        return highest

    def _called(self, op: tf.Operation) -> int:
        """Returns the most that a function called by an operation needs, 0 for other operations."""
        if op.type not in _CALLS:
            return 0
        names = [op.get_attr(key).name for key in _FUNCTION_ATTRIBUTES if key in op.node_def.attr]
        return max((self._of_function(name) for name in names), default=0)

    def _of_function(self, name: str) -> int:
        if name not in self._known:
            self._known[name] = 0
            function: Any = self._root._get_function(name)
            # Functions of a graph of TensorFlow 1 have no graph of their own to look at.
            self._known[name] = self.row_bytes(function.graph) if hasattr(function, "graph") else 0
        return self._known[name]


def _row_bytes(tensor: tf.Tensor) -> int:
    """Returns the memory of one row, 0 if the tensor has none or its size is not known."""
    shape = tensor.shape
    if shape.rank is None or shape.rank < 1 or shape[0] is not None or None in shape[1:].as_list():
        return 0
    return math.prod(shape[1:].as_list()) * max(1, tensor.dtype.size or 0)
