"""Reads PyTorch's weight files of the legacy format, without PyTorch and without running what a pickle asks for.

Such a file is five pickles (a magic number, a protocol, the system, the tensors without their values, the names of the
storages) and then the values of each storage: how many, int64, and the numbers themselves, all little-endian.

Source: `torch.save` with `_use_new_zipfile_serialization=False`, the only format before PyTorch 1.6.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from amfam_tf.errors import WeightsError

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
TYPES: Mapping[str, type[np.generic]] = {"FloatStorage": np.float32, "LongStorage": np.int64}


@dataclass(frozen=True)
class _Storage:
    kind: str
    key: str
    size: int


@dataclass(frozen=True)
class _View:
    """A tensor: a part of a storage, from `offset`, with a stride for each axis, in numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        if min(self.offset, *self.shape, *self.strides, 0) < 0 or last >= max(self.storage.size, 1):
            raise pickle.UnpicklingError(f"a tensor of shape {self.shape} reaches out of its storage")


def _view(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _View:
    """Stands for torch._utils._rebuild_tensor_v2."""
    return _View(storage, offset, shape, strides)


KNOWN: Mapping[tuple[str, str], Callable[..., Any] | str] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _view,
    **{("torch", name): name for name in TYPES},
}
"""All that a file of weights needs by name, and what stands for it here."""


class _Unpickler(pickle.Unpickler):
    """Knows the names of KNOWN and no others: what a file asks for beyond is never looked up."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no file of weights needs")
        return KNOWN[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        _, kind, key, _, size, part = pid
        if part is not None:
            raise pickle.UnpicklingError("it has a storage that is part of another one")
        return _Storage(kind, key, size)


def read(path: Path) -> dict[str, np.ndarray]:
    """Returns {name: values} of a file of weights, float32 or int64.

    Raises:
        WeightsError: the file cannot be read, is not of this format, or asks for more than tensors.
    """
    try:
        with path.open("rb") as file:
            views = _views(file)
            return _filled(views, file)
    except OSError as error:
        raise WeightsError(f"cannot read weight file {path}: {error.strerror or error}") from error
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise WeightsError(f"weight file {path} is damaged or no PyTorch file of the legacy format: {error}") from error


def _views(file: BinaryIO) -> dict[str, _View]:
    if _Unpickler(file).load() != MAGIC or _Unpickler(file).load() != PROTOCOL:
        raise ValueError("it does not begin as one")
    if _Unpickler(file).load()["little_endian"] is not True:
        raise ValueError("its numbers are big-endian")
    views = _Unpickler(file).load()
    wrong = next((name for name, view in views.items() if not isinstance(view, _View)), None)
    if wrong is not None:
        raise ValueError(f"{wrong} is no tensor")
    return dict(views)


def _filled(views: Mapping[str, _View], file: BinaryIO) -> dict[str, np.ndarray]:
    """Returns the tensors with the values of their storages, which follow in the file."""
    storages = {view.storage.key: view.storage for view in views.values()}
    values = {}
    for key in _Unpickler(file).load():
        kind = np.dtype(TYPES[storages[key].kind]).newbyteorder("<")
        size = int.from_bytes(file.read(8), "little")
        if size != storages[key].size:
            raise ValueError(f"storage {key} has {size} values, its tensors say {storages[key].size}")
        values[key] = np.frombuffer(file.read(size * kind.itemsize), kind)
        if len(values[key]) != size:
            raise ValueError("it ends before its last value")
    return {name: _values(view, values[view.storage.key]) for name, view in views.items()}


def _values(view: _View, storage: np.ndarray) -> np.ndarray:
    strides = [step * storage.itemsize for step in view.strides]
    part = np.lib.stride_tricks.as_strided(storage[view.offset :], view.shape, strides, writeable=False)
    return part.astype(storage.dtype.newbyteorder("="), order="C")
