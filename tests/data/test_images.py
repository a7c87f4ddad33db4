"""Encoded bytes to pixels: what each kind of file becomes, and what is refused."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from amfam_tf.data import images

MAX_PIXELS = 1_000_000
OTHER_FORMATS = {
    b"": " but empty: copy it anew",
    b"\xff\xd8": "",
    b"GIF89a" + b"\0" * 50: " but a GIF picture: save it as JPEG or PNG",
    b"plain text": "",
}
HEADERS = {"JPEG": 623, "PNG": 33, "BMP": 54}
"""How many bytes come before the pixels in the files that Pillow writes."""


def smooth_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Returns uint8 [height, width, 3] that JPEG keeps nearly as it is."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_16_bits(values: np.ndarray) -> bytes:
    """Returns a 16-bit RGB PNG; Pillow writes none."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    return images.decode_image(tf.constant(data), max_pixels).numpy()


def refusals_in_dataset(encoded: list[bytes], max_pixels: int) -> list[tf.errors.InvalidArgumentError]:
    """Returns what each of the pictures raises inside tf.data; fails if one of them raises nothing."""
    dataset = tf.data.Dataset.from_tensor_slices(encoded).map(lambda data: images.decode_image(data, max_pixels))
    iterator, refusals = iter(dataset), []
    for _ in encoded:
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            next(iterator)
        refusals.append(caught.value)
    return refusals


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_lossless_formats_give_the_stored_pixels(kind):
    pixels = smooth_picture(37, 53)
    np.testing.assert_array_equal(decode(encode(Image.fromarray(pixels), kind)), pixels)


def test_jpeg_is_close_to_the_stored_pixels():
    pixels = smooth_picture(64, 80)
    decoded = decode(encode(Image.fromarray(pixels), "JPEG", quality=98))
    assert decoded.shape == pixels.shape
    assert np.abs(decoded.astype(int) - pixels).mean() < 2


@pytest.mark.parametrize("kind", ["PNG", "BMP", "JPEG"])
def test_greyscale_becomes_three_equal_channels(kind):
    grey = smooth_picture(24, 32)[..., 0]
    decoded = decode(encode(Image.fromarray(grey), kind))
    assert decoded.shape == (24, 32, 3)
    np.testing.assert_array_equal(decoded, decoded[..., :1].repeat(3, axis=-1))
    assert np.abs(decoded[..., 0].astype(int) - grey).max() <= (6 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_alpha_is_dropped_and_the_stored_colours_stay(kind):
    pixels = smooth_picture(20, 22)
    alpha = np.arange(20 * 22, dtype=np.uint8).reshape(20, 22, 1)
    data = encode(Image.fromarray(np.concatenate([pixels, alpha], axis=-1)), kind)
    np.testing.assert_array_equal(decode(data), pixels)


def test_grey_with_alpha_keeps_its_grey():
    grey = smooth_picture(20, 22)
    stored = np.stack([grey[..., 0], grey[..., 1]], axis=-1)
    decoded = decode(encode(Image.fromarray(stored), "PNG"))
    np.testing.assert_array_equal(decoded, stored[..., :1].repeat(3, axis=-1))


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_palette_colours_are_looked_up(kind):
    image = Image.fromarray(smooth_picture(30, 31)).quantize(19)
    np.testing.assert_array_equal(decode(encode(image, kind)), np.asarray(image.convert("RGB")))


def test_16_bits_are_scaled_to_the_nearest_of_8_bits():
    values = np.random.default_rng(0).integers(0, 2**16, (9, 11, 3))
    values[0, 0] = (0, 0x80FF, 0xFFFF)
    np.testing.assert_array_equal(decode(png_16_bits(values)), np.round(values / 257).astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_a_viewer_does(orientation):
    image = Image.fromarray(smooth_picture(40, 56))
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif[0x0112] = orientation
    data = encode(image, "JPEG", exif=exif, quality=95)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    # Turning and decoding do not commute exactly: colour is stored at half the resolution.
    assert decode(data).shape == np.asarray(upright).shape
    assert np.abs(decode(data).astype(int) - np.asarray(upright)).max() <= 4


def big_endian_exif(orientation: int) -> bytes:
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + b"MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)


def with_segment(jpeg: bytes, content: bytes, marker: bytes = b"\xff\xe1") -> bytes:
    return jpeg[:2] + marker + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


def test_big_endian_exif_behind_another_segment_is_found():
    jpeg = encode(Image.fromarray(smooth_picture(40, 56)), "JPEG")
    data = with_segment(with_segment(jpeg, big_endian_exif(6)), b"x" * 60_000, b"\xff\xe2")
    np.testing.assert_array_equal(decode(data), np.rot90(decode(jpeg), -1))


@pytest.mark.parametrize(
    "exif",
    [
        big_endian_exif(0),
        big_endian_exif(9),
        big_endian_exif(6)[:20],
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 65535),
    ],
)
def test_damaged_exif_counts_as_upright(exif):
    jpeg = encode(Image.fromarray(smooth_picture(40, 56)), "JPEG")
    np.testing.assert_array_equal(decode(with_segment(jpeg, exif)), decode(jpeg))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_pixels_are_counted_before_decoding(kind):
    whole = encode(Image.fromarray(smooth_picture(30, 40)), kind)
    assert decode(whole, max_pixels=1200).shape == (30, 40, 3)
    # Without its pixels, decoding would fail in another way: the refusal comes from the header alone.
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 1199 pixels"):
        decode(whole[: HEADERS[kind]], max_pixels=1199)


def test_the_same_refusals_come_inside_tf_data():
    headers = [encode(Image.fromarray(smooth_picture(30, 40)), kind)[:count] for kind, count in HEADERS.items()]
    refusals = refusals_in_dataset([*headers, *OTHER_FORMATS], max_pixels=1199)
    assert [images.reason(error) for error in refusals] == [
        *["the picture has more than 1199 pixels"] * len(headers),
        *(f"the picture is not a JPEG, PNG or BMP file{words}" for words in OTHER_FORMATS.values()),
    ]


def test_a_header_that_claims_more_pixels_than_64_bits_hold_is_refused():
    data = bytearray(encode(Image.fromarray(smooth_picture(8, 8)), "PNG"))
    data[16:24] = b"\xff" * 8
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 1000000 pixels"):
        decode(bytes(data))


@pytest.mark.parametrize("data", OTHER_FORMATS)
def test_other_formats_are_refused(data):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decode(data)
    assert images.reason(caught.value) == f"the picture is not a JPEG, PNG or BMP file{OTHER_FORMATS[data]}"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_truncated_pictures_are_refused_in_one_line(kind):
    data = encode(Image.fromarray(smooth_picture(60, 60)), kind)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decode(data[: len(data) // 2])
    assert images.reason(caught.value)
    assert "\n" not in images.reason(caught.value)
    assert "{{" not in images.reason(caught.value)


def test_a_compressed_bmp_is_refused():
    data = bytearray(encode(Image.fromarray(smooth_picture(20, 20)), "BMP"))
    data[30] = 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="BMP of another kind"):
        decode(bytes(data))


def test_a_bmp_stored_from_the_top_reads_the_same():
    pixels = smooth_picture(20, 24)
    data = bytearray(encode(Image.fromarray(pixels), "BMP"))
    data[22:26] = struct.pack("<i", -20)
    np.testing.assert_array_equal(decode(bytes(data)), pixels[::-1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 479 pixels"):
        decode(bytes(data), max_pixels=479)


def test_prepare_image_is_crop_then_antialiased_resize_then_rounding():
    pixels = smooth_picture(100, 140)
    pixels[:10], pixels[-10:], pixels[:, :10], pixels[:, -10:] = 255, 255, 255, 255
    prepared = images.prepare_image(tf.constant(encode(Image.fromarray(pixels), "PNG")), 32, 10, MAX_PIXELS)
    by_hand = Image.fromarray(pixels[10:-10, 10:-10]).resize((32, 32), Image.Resampling.BILINEAR)
    assert prepared.dtype == tf.uint8
    difference = prepared.numpy().astype(int) - np.asarray(by_hand)
    assert np.abs(difference).max() <= 1
    # Cutting off the fraction instead of rounding would be 0.5 darker.
    assert abs(difference.mean()) < 0.1


def test_prepare_image_gives_the_same_inside_tf_data_with_a_static_shape():
    image = Image.fromarray(smooth_picture(70, 90))
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [encode(image, kind) for kind in HEADERS]
    files += [encode(image, "JPEG", exif=exif), encode(image.quantize(19), "BMP"), png_16_bits(smooth_picture(70, 90))]

    def prepare(encoded: tf.Tensor) -> tf.Tensor:
        return images.prepare_image(encoded, 48, 3, MAX_PIXELS)

    dataset = tf.data.Dataset.from_tensor_slices(files).map(prepare)
    assert dataset.element_spec.shape == (48, 48, 3)
    for data, prepared in zip(files, dataset, strict=True):
        np.testing.assert_array_equal(prepared, prepare(tf.constant(data)))


def test_a_picture_of_the_wanted_size_stays_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    prepared = images.prepare_image(tf.constant(encode(Image.fromarray(pixels), "PNG")), 48, 0, MAX_PIXELS)
    np.testing.assert_array_equal(prepared, pixels)


def test_a_border_crop_that_leaves_nothing_says_so():
    data = tf.constant(encode(Image.fromarray(smooth_picture(40, 90)), "PNG"))
    assert images.prepare_image(data, 32, 19, MAX_PIXELS).shape == (32, 32, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="nothing left after cutting border_crop=20"):
        images.prepare_image(data, 32, 20, MAX_PIXELS)


def test_unit_range_reaches_both_ends():
    values = images.to_unit_range(tf.constant([0, 51, 255], tf.uint8))
    assert values.dtype == tf.float32
    np.testing.assert_allclose(values, [0.0, 0.2, 1.0], rtol=1e-7)
