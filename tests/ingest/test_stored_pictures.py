"""How pictures are stored: ingest takes what training takes, and tells what is not plain RGB in sRGB."""

import json

import profiled_pictures
import pytest
from PIL import Image
from releases import TinyRelease

from amfam_tf.ingest.file_names import STATISTICS_FILE
from amfam_tf.ingest.output import DEAD_LETTER_FILE
from amfam_tf.pipelines import ingest

DISPLAY_P3 = profiled_pictures.profile(
    profiled_pictures.DISPLAY_P3, profiled_pictures.power(2.2), name="Display P3 {made}"
)
PROFILED, GREY, CMYK, UNUSABLE, REMARK, DAMAGED, WEB_PAGE = 0, 1, 2, 3, 5, 6, 7


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """The report on a data set whose clinical pictures are stored in several ways, and its folder."""
    folder, release = tmp_path_factory.mktemp("stored"), TinyRelease(12)
    root = release.write(folder / "release")
    paths = (root / "images" / release.meta["clinic"]).tolist()
    image = Image.fromarray(profiled_pictures.colourful(64, 80))
    image.save(paths[PROFILED], "JPEG", icc_profile=DISPLAY_P3)
    image.convert("L").save(paths[GREY], "PNG")
    image.transpose(Image.Transpose.ROTATE_180).convert("CMYK").save(paths[CMYK], "JPEG")
    Image.fromarray(profiled_pictures.colourful(64, 80, seed=1)).save(paths[UNUSABLE], "PNG", icc_profile=b"damaged")
    data = paths[REMARK].read_bytes()
    paths[REMARK].write_bytes(data[:-2] + bytes(30) + data[-2:])
    data = paths[DAMAGED].read_bytes()
    paths[DAMAGED].write_bytes(data[: len(data) // 2] + b"\xff\xd3\0\x11" + data[len(data) // 2 + 4 :])
    paths[WEB_PAGE].write_text("<!DOCTYPE html><title>Log in</title>")
    return ingest.run(str(root), str(folder / "out"), shards=2, max_bad_share=0.2)


def test_what_is_taken_is_told_as_a_note(ingested):
    found = {one.kind: one for one in ingested.anomalies}
    for kind, rows, words in (
        ("not_rgb", (GREY, CMYK), "clinical picture of 2 cases: not RGB, and taken: greyscale 1, CMYK 1"),
        ("converted_colours", (PROFILED,), "converted to sRGB by the colour profile: Display P3 {made} 1"),
        ("unused_profile", (UNUSABLE,), "colour profile not usable, taken for sRGB: damaged 1"),
        ("unusual_image", (REMARK,), "decoded whole, but a strict decoder says: Corrupt JPEG data"),
    ):
        assert words in found[kind].message
        assert (found[kind].severity, found[kind].rows) == ("note", rows)


def test_damaged_pixels_and_other_formats_become_no_record(ingested):
    lines = (ingested.out / DEAD_LETTER_FILE).read_text(encoding="utf-8").splitlines()
    reasons = {letter["row"]: letter["reason"] for letter in map(json.loads, lines)}
    assert set(reasons) == {DAMAGED, WEB_PAGE}
    assert "is damaged: part of it is grey, shifted or of other colours" in reasons[DAMAGED]
    assert reasons[WEB_PAGE].endswith(
        "cannot be decoded: the picture is not a JPEG, PNG or BMP file but a web page or other text: "
        "download the picture anew"
    )


def test_the_statistics_count_kinds_and_profiles(ingested):
    found = json.loads((ingested.out / STATISTICS_FILE).read_text(encoding="utf-8"))
    assert found["modes"] == {"clinical": {"RGB": 8, "CMYK": 1, "greyscale": 1}, "dermoscopic": {"RGB": 10}}
    assert found["profiles"] == {
        "clinical": {"Display P3 {made}: converted to sRGB": 1, "damaged: not usable, taken for sRGB": 1},
        "dermoscopic": {},
    }
