"""Versions are numbers, not words: 10 comes after 9, and the next one after the highest that there is."""

from amfam_tf.files import publish


def test_versions_are_in_the_order_of_their_numbers(tmp_path):
    for name in ("10", "9", "2", ".partial-11", "notes", "100x"):
        (tmp_path / name).mkdir()
    assert publish.versions(tmp_path) == [2, 9, 10]


def test_the_next_version_is_above_the_highest(tmp_path):
    for name in ("3", "10"):
        (tmp_path / name).mkdir()
    with publish.publishing(tmp_path) as (folder, number):
        assert number == 11
        (folder / "file").write_text("content")
    assert publish.versions(tmp_path) == [3, 10, 11]
    assert (tmp_path / "11" / "file").read_text() == "content"


def test_the_first_version_is_one(tmp_path):
    with publish.publishing(tmp_path / "new") as (_, number):
        assert number == 1
    assert publish.versions(tmp_path / "nothing") == []
