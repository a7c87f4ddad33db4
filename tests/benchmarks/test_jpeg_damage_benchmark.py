"""The benchmark of damaged JPEGs: what it destroys, and that it counts what is refused."""

import random

import pytest

from benchmarks import jpeg_damage

DATA = bytes(range(200)) * 4


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("a marker", 800),
        ("an end", 800),
        ("4 bytes of zeros", 800),
        ("512 bytes of zeros", 800),
        ("64 bytes cut out", 736),
        ("64 random bytes", 800),
        ("one bit", 800),
    ],
)
def test_damage_is_where_it_is_wanted_and_nowhere_else(name, length):
    damaged = jpeg_damage.damages()[name](DATA, 101, random.Random(1))
    assert (len(damaged), damaged[:101]) == (length, DATA[:101])
    assert damaged != DATA
    assert damaged[-150:] == DATA[-150:]


def test_one_bit_is_one_bit():
    damaged = jpeg_damage.one_bit(DATA, 7, random.Random(2))
    assert sum((one ^ other).bit_count() for one, other in zip(DATA, damaged, strict=True)) == 1


def test_what_is_refused_is_counted(monkeypatch):
    data = b"head\xff\xda" + bytes(12) + DATA
    monkeypatch.setattr(jpeg_damage, "is_found", lambda damaged: len(damaged) < len(data))
    assert jpeg_damage.count_found(data, jpeg_damage.damages()["64 bytes cut out"], 9) == 9
    assert jpeg_damage.count_found(data, jpeg_damage.damages()["an end"], 9) == 0
