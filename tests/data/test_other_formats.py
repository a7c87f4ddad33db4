"""What is no JPEG, PNG or BMP is named as what it is, by whatever reads it."""

import io

import pytest
import tensorflow as tf
from PIL import Image

from amfam_tf.data import images, picture_file
from amfam_tf.errors import DataError

START = "the picture is not a JPEG, PNG or BMP file"
CONVERT = "save it as JPEG or PNG"


def saved(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, kind)
    return buffer.getvalue()


FILES = {
    b"\0\0\0\x18ftypheic\0\0\0\0": f"a HEIC picture: {CONVERT}",
    b"\0\0\0\x18ftypmif1\0\0\0\0": f"a HEIC picture: {CONVERT}",
    b"\0\0\0\x20ftypavif\0\0\0\0": f"an AVIF picture: {CONVERT}",
    b"\0\0\0\x18ftypcrx \0\0\0\1": f"a camera raw picture: {CONVERT}",
    b"\0\0\0\x18ftypqt  \0\0\0\0": "a video or another file in an MP4 container: take a picture",
    saved("WEBP"): f"a WebP picture: {CONVERT}",
    saved("GIF"): f"a GIF picture: {CONVERT}",
    saved("TIFF"): f"a TIFF or camera raw picture: {CONVERT}",
    b"MM\0*\0\0\0\x08": f"a TIFF or camera raw picture: {CONVERT}",
    saved("JPEG2000"): f"a JPEG 2000 picture: {CONVERT}",
    bytes(128) + b"DICM\2\0\0\0": "a DICOM file: export its picture as JPEG or PNG",
    b"II*\0".ljust(128, b"x") + b"DICM": "a DICOM file: export its picture as JPEG or PNG",
    b"8BPS\0\1": f"a Photoshop file: {CONVERT}",
    saved("PDF"): "a PDF document: export its pictures as JPEG or PNG",
    b"PK\3\4\x14\0": "a ZIP archive: unpack it",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n": (
        "a Git LFS pointer: fetch the picture with git lfs pull"
    ),
    b"/annex/objects/MD5E-s1--0.jpg\n": "a git-annex pointer: fetch the picture with git annex get",
    b"\0\5\x16\7\0\2\0\0Mac OS X": "a side file that macOS leaves: remove it",
    b"<!DOCTYPE html><title>Log in</title>": "a web page or other text: download the picture anew",
    b"\r\n<html>": "a web page or other text: download the picture anew",
    b'{"error": "unauthorized"}': "a web page or other text: download the picture anew",
    b'<svg xmlns="http://www.w3.org/2000/svg"/>': f"an SVG drawing: {CONVERT}",
    bytes(5000): "a file of zeros: copy it anew",
    b"": "empty: copy it anew",
}


@pytest.mark.parametrize(("content", "words"), FILES.items(), ids=lambda value: str(value)[:20])
def test_it_is_named_with_what_to_do(content: bytes, words: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        images.decode_image(tf.constant(content), 1_000_000)
    assert images.reason(caught.value) == f"{START} but {words}"
    with pytest.raises(DataError) as told:
        picture_file.judge(content)
    assert str(told.value) == f"cannot be decoded: {START} but {words}"


@pytest.mark.parametrize("content", [b"plain text", b"\xff\xd8", b"\x89PNG\r\n\x1a", b"RIFF\0\0\0\0WAVE"])
def test_what_nobody_knows_is_not_named(content: bytes) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        images.decode_image(tf.constant(content), 1_000_000)
    assert images.reason(caught.value) == START
