"""Colour profiles and orientation beside the pixels: what a viewer shows is what the network gets."""

import io
import struct
import zlib

import numpy as np
import profiled_pictures as icc
import pytest
import tensorflow as tf
from PIL import Image, ImageCms, ImageOps
from profiled_pictures import colourful, encode, icc_part, shown, with_chunk, with_segment

from amfam_tf.data import images
from amfam_tf.data.colour_profile import CONVERTED, IS_SRGB, NO_PROFILE, UNUSABLE

MAX_PIXELS = 1_000_000
SAMPLES = np.linspace(0, 1, 40) ** 2.1
PROFILES = {
    "Display P3": icc.profile(icc.DISPLAY_P3, icc.parametric(3, *icc.SRGB_CURVE)),
    "Adobe RGB": icc.profile(icc.ADOBE_RGB, icc.power(563 / 256)),
    "ProPhoto": icc.profile(icc.PROPHOTO, icc.power(1.8)),
    "linear": icc.profile(icc.SRGB, icc.sampled([])),
    "table": icc.profile(icc.ADOBE_RGB, icc.sampled(SAMPLES)),
    "two entries": icc.profile(icc.DISPLAY_P3, icc.sampled([0, 1])),
    "para 0": icc.profile(icc.DISPLAY_P3, icc.parametric(0, 2.2)),
    "para 1": icc.profile(icc.ADOBE_RGB, icc.parametric(1, 2.2, 1.05, -0.05)),
    "para 2": icc.profile(icc.ADOBE_RGB, icc.parametric(2, 2.2, 1.0, -0.04, 0.04)),
    "para 4": icc.profile(icc.DISPLAY_P3, icc.parametric(4, 2.4, 0.93, 0.05, 0.07, 0.04, 0.01, 0.005)),
}


@tf.function(autograph=False, input_signature=[tf.TensorSpec((), tf.string)])
def decode(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return images.decode_image(encoded, MAX_PIXELS), images.colour_treatment(encoded)


def decoded(encoded: bytes, treatment: int) -> np.ndarray:
    """Returns the pixels as integers, after a check of what became of the colours."""
    pixels, found = decode(encoded)
    assert int(found) == treatment
    return pixels.numpy().astype(int)


def stored(encoded: bytes) -> np.ndarray:
    """Returns the pixels as they are stored."""
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")).astype(int)


def difference(pixels: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return np.abs(pixels.astype(int) - expected.astype(int))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("name", PROFILES)
def test_another_space_becomes_what_a_viewer_shows(name, kind):
    data = encode(Image.fromarray(colourful()), kind, icc_profile=PROFILES[name])
    found = difference(decoded(data, CONVERTED), shown(data))
    assert found.max() <= 2
    assert found.mean() < 0.3
    assert difference(stored(data), shown(data)).mean() > 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("gamma", [1.0, 1.8, 3.0])
def test_greys_follow_the_curve_of_their_profile(gamma, kind):
    data = encode(
        Image.fromarray(colourful()[..., 0]), kind, icc_profile=icc.profile((), icc.power(gamma), space=b"GRAY")
    )
    found = decoded(data, CONVERTED)
    light = (stored(data) / 255) ** gamma
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(found - expected).max() <= 0.6
    np.testing.assert_array_equal(found, found[..., :1].repeat(3, axis=-1))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        icc.profile(icc.SRGB, icc.parametric(3, *icc.SRGB_CURVE)),
        icc.profile(
            icc.SRGB,
            icc.sampled([v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in np.linspace(0, 1, 1024)]),
        ),
    ],
)
def test_srgb_by_any_description_stays_bit_for_bit(profile, kind):
    image = Image.fromarray(colourful())
    plain = decoded(encode(image, kind), NO_PROFILE)
    np.testing.assert_array_equal(decoded(encode(image, kind, icc_profile=profile), IS_SRGB), plain)


def damaged_profiles():
    whole = PROFILES["Display P3"]
    lut = whole.replace(b"rXYZ", b"A2B0")
    unadapted = icc.profile(np.array(icc.DISPLAY_P3) * [[0.98], [1.0], [1.32]], icc.power(2.2))
    return {
        "garbage": b"x" * 600,
        "one byte": b"x",
        "only the header": whole[:128],
        "no place for the tags": whole[:140],
        "no curve": whole.replace(b"gTRC", b"gTRX"),
        "tables only": lut,
        "another kind of curve": whole.replace(b"para", b"mft2"),
        "unknown function": whole.replace(b"para\0\0\0\0\0\3", b"para\0\0\0\0\0\7"),
        "not a number": icc.profile(icc.DISPLAY_P3, icc.parametric(0, -3.0)),
        "white that is none": unadapted,
        "Lab": ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
        "grey for colour": icc.profile((), icc.power(1.8), space=b"GRAY"),
        "far too large": whole + bytes(70_000),
        "tags beyond the end": whole[:128] + struct.pack(">I", 2**31) + whole[132:300],
    }


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("name", damaged_profiles())
def test_a_profile_that_cannot_be_used_changes_nothing(name, kind):
    data = encode(Image.fromarray(colourful()), kind, icc_profile=damaged_profiles()[name])
    np.testing.assert_array_equal(decoded(data, UNUSABLE), decoded(encode(Image.fromarray(colourful()), kind), 0))


def test_colours_in_a_grey_picture_change_nothing():
    data = encode(Image.fromarray(colourful()[..., 0]), "JPEG", icc_profile=PROFILES["Adobe RGB"])
    np.testing.assert_array_equal(decoded(data, UNUSABLE), stored(data))


def test_no_damage_of_a_profile_ends_the_decoding():
    generator, image = np.random.default_rng(0), Image.fromarray(colourful(8, 8))
    for profile in (PROFILES["Display P3"], PROFILES["table"]):
        for _ in range(60):
            damaged = bytearray(profile)
            for place in generator.integers(0, len(profile), 5):
                damaged[place] = generator.integers(0, 256)
            pixels, treatment = decode(encode(image, "PNG", icc_profile=bytes(damaged)))
            assert pixels.shape == (8, 8, 3)
            assert int(treatment) in (IS_SRGB, CONVERTED, UNUSABLE)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"name",
        b"name\0\0",
        b"name\0\0" + b"no zlib",
        b"n" * 90 + b"\0\0" + zlib.compress(PROFILES["Display P3"]),
        b"name\0\0" + zlib.compress(PROFILES["Display P3"])[:-9],
        b"name\0\0" + zlib.compress(bytes(300_000_000), 9)[: 1 << 17],
    ],
    ids=lambda content: f"{len(content)} bytes",
)
def test_a_damaged_chunk_with_a_profile_changes_nothing(content):
    plain = encode(Image.fromarray(colourful()), "PNG")
    np.testing.assert_array_equal(decoded(with_chunk(plain, b"iCCP", content), UNUSABLE), stored(plain))


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_the_parts_of_a_profile_are_joined_by_their_numbers(order):
    profile, data = PROFILES["table"], encode(Image.fromarray(colourful()), "JPEG")
    cuts = (0, 130, 300, len(profile))
    expected = decoded(with_segment(data, icc_part(profile, 1, 1)), CONVERTED)
    for number in reversed(order):
        data = with_segment(data, icc_part(profile[cuts[number - 1] : cuts[number]], number, 3))
    np.testing.assert_array_equal(decoded(data, CONVERTED), expected)


@pytest.mark.parametrize(("numbers", "count"), [((1,), 2), ((2,), 2), ((1, 3), 3), ((1, 2), 1), ((0,), 1), ((1,), 200)])
def test_a_profile_without_one_of_its_parts_or_with_one_too_many_is_damaged(numbers, count):
    data = encode(Image.fromarray(colourful()), "JPEG")
    plain = stored(data)
    for number in numbers:
        data = with_segment(data, icc_part(PROFILES["table"], number, count))
    np.testing.assert_array_equal(decoded(data, UNUSABLE), plain)


def test_a_profile_behind_many_and_long_segments_is_found():
    data = with_segment(encode(Image.fromarray(colourful()), "JPEG"), icc_part(PROFILES["Adobe RGB"], 1, 1))
    expected = decoded(data, CONVERTED)
    for _ in range(60):
        data = with_segment(data, bytes(65_000), marker=0xED)
    np.testing.assert_array_equal(decoded(data, CONVERTED), expected)


def test_alpha_palette_and_16_bits_are_converted_too():
    pixels = colourful()
    profile = PROFILES["Adobe RGB"]
    expected = decoded(encode(Image.fromarray(pixels), "PNG", icc_profile=profile), CONVERTED)
    alpha = np.concatenate([pixels, pixels[..., :1]], axis=-1)
    np.testing.assert_array_equal(
        decoded(encode(Image.fromarray(alpha), "PNG", icc_profile=profile), CONVERTED), expected
    )
    palette = Image.fromarray(pixels).quantize(64)
    as_rgb = encode(palette.convert("RGB"), "PNG", icc_profile=profile)
    as_palette = encode(palette, "PNG", icc_profile=profile)
    np.testing.assert_array_equal(decoded(as_palette, CONVERTED), decoded(as_rgb, CONVERTED))


def test_the_conversion_of_a_large_picture_is_that_of_its_parts():
    # More than one piece, and the last one is not full.
    pixels = np.random.default_rng(0).integers(0, 256, (301, 523, 3), dtype=np.uint8)
    profile = PROFILES["Display P3"]
    whole = decoded(encode(Image.fromarray(pixels), "PNG", icc_profile=profile), CONVERTED)
    part = decoded(encode(Image.fromarray(pixels[-20:]), "PNG", icc_profile=profile), CONVERTED)
    np.testing.assert_array_equal(whole[-20:], part)
    assert whole.shape == pixels.shape


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_png_is_applied_as_a_viewer_does(orientation):
    image = Image.fromarray(colourful(40, 56))
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "maker", orientation
    data = encode(image, "PNG", exif=exif)
    assert b"eXIf" in data
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(decoded(data, NO_PROFILE), expected)
    behind = with_chunk(encode(image, "PNG"), b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"), before=b"IEND")
    np.testing.assert_array_equal(decoded(behind, NO_PROFILE), expected)


@pytest.mark.parametrize("start", [b"II*\0", b"MM\0*"])
def test_both_byte_orders_of_a_png_s_exif(start):
    order = "<" if start[:1] == b"I" else ">"
    tiff = start + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    data = with_chunk(encode(Image.fromarray(colourful(40, 56)), "PNG"), b"eXIf", tiff)
    np.testing.assert_array_equal(decoded(data, NO_PROFILE), np.rot90(colourful(40, 56), -1))


@pytest.mark.parametrize("content", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"junk"])
def test_damaged_exif_of_a_png_counts_as_upright(content):
    pixels = colourful(40, 56)
    np.testing.assert_array_equal(
        decoded(with_chunk(encode(Image.fromarray(pixels), "PNG"), b"eXIf", content), 0), pixels
    )


def test_profile_and_orientation_together():
    exif = Image.Exif()
    exif[0x0112] = 8
    for kind in ("JPEG", "PNG"):
        options = {"icc_profile": PROFILES["Display P3"], "exif": exif}
        turned = decoded(encode(Image.fromarray(colourful(48, 64)), kind, **options), CONVERTED)
        upright = decoded(
            encode(Image.fromarray(colourful(48, 64)), kind, icc_profile=options["icc_profile"]), CONVERTED
        )
        np.testing.assert_array_equal(turned, np.rot90(upright))


def test_inks_are_mixed_as_a_viewer_does_and_refused_where_nothing_says_how():
    data = encode(Image.fromarray(colourful()).convert("CMYK"), "JPEG", quality=95)
    np.testing.assert_array_equal(decoded(data, NO_PROFILE), stored(data))
    start = data.index(b"\xff\xee")
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decode(data[:start] + data[start + 2 + length :])
    assert images.reason(caught.value).startswith(
        "the picture is a CMYK JPEG that does not say how its inks are stored"
    )


def test_the_cut_to_squares_gets_the_converted_colours():
    data = encode(Image.fromarray(colourful()), "PNG", icc_profile=PROFILES["Adobe RGB"])
    converted = encode(Image.fromarray(decoded(data, CONVERTED).astype(np.uint8)), "PNG")
    squares = [images.prepare_image(tf.constant(one), 32, 4, MAX_PIXELS) for one in (data, converted)]
    np.testing.assert_array_equal(*squares)
