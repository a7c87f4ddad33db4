"""Damage inside a JPEG is found though decoders bridge it; what is merely unusual is not called damage."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from profiled_pictures import encode

from amfam_tf.data import picture_file
from amfam_tf.data.jpeg_damage import find_warning, is_damage
from amfam_tf.data.synthetic import draw_case
from amfam_tf.errors import DataError

PIXELS = draw_case({"diagnosis": "melanoma"}, seed=0, row=1, size=(192, 128))[0]
KINDS = {
    "baseline": {"quality": 90},
    "progressive": {"quality": 90, "progressive": True},
    "restarts": {"quality": 90, "restart_marker_rows": 1},
    "optimised": {"quality": 85, "optimize": True, "subsampling": 0},
}


def jpeg(**options: object) -> bytes:
    return encode(Image.fromarray(PIXELS), "JPEG", **options)


def first_pixels(data: bytes) -> int:
    """Returns where the compressed pixels start."""
    return data.index(b"\xff\xda") + 14


def replaced(data: bytes, place: int, content: bytes, cut: int | None = None) -> bytes:
    return data[:place] + content + data[place + (len(content) if cut is None else cut) :]


DESTRUCTIONS: dict[str, Callable[[bytes, int], bytes]] = {
    "a marker in the middle": lambda data, place: replaced(data, place, b"\xff\xd3\0\x11"),
    "an end in the middle": lambda data, place: replaced(data, place, b"\xff\xd9"),
    "the second half is zeros": lambda data, place: replaced(data, place, bytes(len(data) - place - 2)),
    "the second half is lost": lambda data, place: replaced(data, place, b"", len(data) - place - 2),
    "a sector of zeros": lambda data, place: replaced(data, place, bytes(512)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("destruction", DESTRUCTIONS)
def test_destroyed_pixels_are_refused(kind: str, destruction: str) -> None:
    data = jpeg(**KINDS[kind])
    middle = (first_pixels(data) + len(data)) // 2
    with pytest.raises(DataError, match="damaged|cannot be decoded"):
        picture_file.judge(DESTRUCTIONS[destruction](data, middle))


def test_the_message_says_what_a_viewer_would_see() -> None:
    data = jpeg()
    with pytest.raises(DataError) as caught:
        picture_file.judge(replaced(data, (first_pixels(data) + len(data)) // 2, b"\xff\xd9"))
    assert str(caught.value) == (
        "is damaged: part of it is grey, shifted or of other colours (Corrupt JPEG data: premature end of data segment)"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_most_random_damage_that_shows_is_found(kind: str) -> None:
    # 64 bytes of noise without a marker: codes find their place again, and up to 40 % of such streams look valid.
    data, generator = jpeg(**KINDS[kind]), random.Random(0)
    whole, found, shows = np.asarray(picture_file.judge(data).pixels, int), 0, 0
    for _ in range(40):
        place = generator.randrange(first_pixels(data), len(data) - 100)
        noise = bytes(generator.randrange(255) for _ in range(64))
        damaged = replaced(data, place, noise)
        try:
            pixels = picture_file.judge(damaged).pixels
        except DataError:
            found += 1
        else:
            shows += (np.abs(pixels - whole).max(axis=-1) > 20).mean() > 0.02
    assert found > shows


@pytest.mark.parametrize(
    "data",
    [
        *(jpeg(**options) for options in KINDS.values()),
        encode(Image.fromarray(PIXELS).convert("L"), "JPEG"),
        encode(Image.fromarray(PIXELS).convert("CMYK"), "JPEG"),
        jpeg() + bytes(4096),
        jpeg() + b"written by a camera",
        jpeg()[:-2] + b"\xff" * 20 + b"\xff\xd9",
        encode(Image.fromarray(PIXELS), "PNG"),
        encode(Image.fromarray(PIXELS), "BMP"),
    ],
)
def test_sound_files_have_no_remark(data: bytes) -> None:
    assert find_warning(data) == ""
    assert picture_file.judge(data).remark == ""


def test_bytes_too_many_before_the_end_are_a_remark_and_no_damage() -> None:
    data = jpeg()
    found = picture_file.judge(data[:-2] + bytes(20) + data[-2:])
    # libjpeg has read some of them ahead and does not count those.
    assert found.remark == "Corrupt JPEG data: 15 extraneous bytes before marker 0xd9"
    np.testing.assert_array_equal(found.pixels, picture_file.judge(data).pixels)


@pytest.mark.parametrize(
    ("warning", "damage"),
    [
        ("", False),
        ("Corrupt JPEG data: 4 extraneous bytes before marker 0xd9", False),
        ("Corrupt JPEG data: 5 extraneous bytes before marker 0xd9", True),
        ("Corrupt JPEG data: 3 extraneous bytes before marker 0xda", True),
        ("Corrupt JPEG data: found marker 0xd9 instead of RST3", True),
        ("Corrupt JPEG data: bad Huffman code", True),
        ("Invalid SOS parameters for sequential JPEG", False),
        ("Warning: unknown JFIF revision number 2.01", False),
    ],
)
def test_which_warnings_mean_damage(warning: str, damage: bool) -> None:
    assert is_damage(warning, b"no filling\xff\xd9") is damage


@pytest.mark.parametrize(("count", "damage"), [(5, False), (1024, False), (1025, True)])
def test_filling_with_one_value_is_no_damage(count: int, damage: bool) -> None:
    warning = f"Corrupt JPEG data: {count} extraneous bytes before marker 0xd9"
    assert is_damage(warning, b"pixels" + bytes(count) + b"\xff\xd9") is damage
    assert is_damage(warning, b"pixels" + b"ab" * count + b"\xff\xd9") is True
