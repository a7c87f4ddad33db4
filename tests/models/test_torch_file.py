"""Weight files of PyTorch's legacy format, written here by hand: what is in them, and what is refused."""

import collections
import os
import pickle
import sys
import types

import numpy as np
import pytest

from amfam_tf.errors import WeightsError
from amfam_tf.models import torch_file


class Kept:
    """A storage in the pickle: its values are written after it."""

    def __init__(self, key, values):
        self.key, self.values = key, values


class Tensor:
    """A part of a storage, pickled as PyTorch does."""

    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


@pytest.fixture
def names_of_torch(monkeypatch):
    """Modules of PyTorch's names, for the writer to refer to."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in torch_file.TYPES:
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*_):
        raise AssertionError("the reader must not call PyTorch")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return torch


@pytest.fixture
def write(tmp_path, names_of_torch):
    """Writes a file of tensors, or of anything."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if not isinstance(thing, Kept):
                return None
            kind = {"f": "FloatStorage", "i": "LongStorage"}[thing.values.dtype.kind]
            return ("storage", getattr(names_of_torch, kind), thing.key, "cpu", len(thing.values), None)

    def one(content, storages=(), magic=torch_file.MAGIC, little_endian=True, sizes=None):
        path = tmp_path / "weights.pth"
        with path.open("wb") as file:
            pickle.dump(magic, file, 2)
            pickle.dump(torch_file.PROTOCOL, file, 2)
            pickle.dump({"protocol_version": torch_file.PROTOCOL, "little_endian": little_endian}, file, 2)
            Pickler(file, 2).dump(content)
            pickle.dump([one.key for one in storages], file, 2)
            for number, storage in enumerate(storages):
                file.write(np.int64(sizes[number] if sizes else len(storage.values)).tobytes())
                file.write(storage.values.tobytes())
        return path

    return one


def test_tensors_are_read_with_their_strides(write):
    numbers = Kept("7", np.arange(12, dtype="<f4"))
    count = Kept("8", np.array([41, 42], "<i8"))
    tensors = collections.OrderedDict(
        rows=Tensor(numbers, 0, (3, 4), (4, 1)),
        columns=Tensor(numbers, 0, (4, 3), (1, 4)),
        end=Tensor(numbers, 10, (2,), (1,)),
        one=Tensor(count, 1, (), ()),
    )
    found = torch_file.read(write(tensors, (numbers, count)))
    expected = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert list(found) == ["rows", "columns", "end", "one"]
    np.testing.assert_array_equal(found["rows"], expected)
    np.testing.assert_array_equal(found["columns"], expected.T)
    np.testing.assert_array_equal(found["end"], [10, 11])
    assert (found["one"], found["one"].dtype, found["rows"].dtype) == (42, np.int64, np.float32)
    assert found["columns"].flags.owndata
    assert found["columns"].flags.writeable


def test_what_a_pickle_asks_for_is_not_run(write, tmp_path):
    class Call:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    with pytest.raises(WeightsError, match=r"weights\.pth is damaged .*: it asks for posix\.mkdir, which no file of"):
        torch_file.read(write(collections.OrderedDict(weight=Call())))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("strides", [(4, 2), (4, -1), (5, 1)])
def test_a_tensor_that_reaches_out_of_its_storage_is_refused(write, strides):
    numbers = Kept("7", np.arange(12, dtype="<f4"))
    with pytest.raises(WeightsError, match=r"a tensor of shape \(3, 4\) reaches out of its storage"):
        torch_file.read(write({"w": Tensor(numbers, 0, (3, 4), strides)}, (numbers,)))


def test_what_is_no_such_file_is_refused(write, tmp_path):
    numbers = Kept("7", np.arange(4, dtype="<f4"))
    tensors = {"w": Tensor(numbers, 0, (4,), (1,))}
    with pytest.raises(WeightsError, match="it does not begin as one"):
        torch_file.read(write(tensors, (numbers,), magic=1))
    with pytest.raises(WeightsError, match="its numbers are big-endian"):
        torch_file.read(write(tensors, (numbers,), little_endian=False))
    with pytest.raises(WeightsError, match="w is no tensor"):
        torch_file.read(write({"w": 3}))
    with pytest.raises(WeightsError, match="storage 7 has 5 values, its tensors say 4"):
        torch_file.read(write(tensors, (numbers,), sizes=[5]))
    with pytest.raises(WeightsError, match=r"cannot read weight file .*none\.pth: No such file"):
        torch_file.read(tmp_path / "none.pth")


def test_every_cut_of_a_file_is_refused(write):
    numbers = Kept("7", np.arange(4, dtype="<f4"))
    path = write({"w": Tensor(numbers, 0, (4,), (1,))}, (numbers,))
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(WeightsError, match=r"weights\.pth is damaged"):
            torch_file.read(path)
