"""Digests: exact values, files again when they changed, folders without what is no part of them."""

import hashlib

from amfam_tf.files import digests, writing
from amfam_tf.files.listing import files_below


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_values_have_the_digest_of_their_json_in_the_order_of_keys():
    assert digests.of_value({"b": [1, 0.1 + 0.2], "a": "é"}) == sha256(
        '{"a": "\\u00e9", "b": [1, 0.30000000000000004]}'
    )
    assert digests.of_bytes(b"a") == sha256("a")


def test_the_digest_of_a_file_is_that_of_what_it_holds_now(tmp_path):
    path = tmp_path / "model.keras"
    for content in ("one", "two!"):
        writing.write_text(path, content)
        assert digests.file_digest(path) == digests.of_file(path) == sha256(content)


def test_a_folder_has_its_files_without_litter_and_leftovers(tmp_path):
    for name in ("b", "sub/a", ".hidden"):
        writing.write_text(tmp_path / name, name)
    listing = digests.of_files(tmp_path)
    assert list(listing) == list(files_below(tmp_path)) == [".hidden", "b", "sub/a"]
    assert listing["sub/a"] == {"bytes": 5, "sha256": sha256("sub/a")}
    for name in ("._b", "sub/.DS_Store", "__MACOSX/b", f"{writing.PARTIAL}01234567-b", f"{writing.PARTIAL}7/b"):
        writing.write_text(tmp_path / name, "more")
    assert digests.of_files(tmp_path) == listing
    renamed = {name.replace("b", "c"): file for name, file in listing.items()}
    assert digests.of_listing(listing) == digests.of_value({name: file["sha256"] for name, file in listing.items()})
    assert digests.of_listing(listing) != digests.of_listing(renamed)
