"""Names and links as other people's machines have them: umlauts in both forms, git-annex, DVC, litter of desktops."""

import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from releases import TinyRelease, picture_names, set_value

from amfam_tf.batch_predict.source import open_source
from amfam_tf.beam import urls
from amfam_tf.client.pairs import find_pairs
from amfam_tf.data import names
from amfam_tf.data.check import check_data_set
from amfam_tf.data.derm7pt import read_release, scan_data_set
from amfam_tf.errors import DataError
from amfam_tf.export import version_files
from amfam_tf.files import publish
from amfam_tf.ingest.data_set import StoreResolver

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "\u00c4l\u00e9") for form in ("NFC", "NFD"))
FORMS = [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)]


def annexed(root: Path, objects: Path, relative: bool = True) -> None:
    """Moves every picture into a store and leaves a link, as git-annex does."""
    for picture in [path for path in (root / "images").rglob("*") if path.is_file()]:
        stored = objects / picture.name[:2] / f"MD5E-{picture.name}"
        stored.parent.mkdir(parents=True, exist_ok=True)
        picture.rename(stored)
        picture.symlink_to(os.path.relpath(stored, picture.parent) if relative else stored)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return TinyRelease().write(tmp_path / "repository" / "data" / "release")


@pytest.mark.parametrize(("in_table", "on_disk"), FORMS)
def test_a_release_is_read_whatever_the_form_of_its_names(tmp_path, in_table, on_disk):
    release = TinyRelease()
    set_value(4, "clinic", f"{in_table}/{in_table}.jpg")(release)
    root = release.write(tmp_path / "release")
    picture = root / "images" / on_disk / f"{on_disk}.jpg"
    picture.parent.mkdir()
    (root / "images" / picture_names(4)[0]).rename(picture)
    assert read_release(root)["clinical"][4] == str(picture)
    # Letter case is forgiven at the same time.
    picture.rename(picture.with_name(f"{on_disk.upper()}.JPG"))
    assert read_release(root)["clinical"][4] == str(picture.with_name(f"{on_disk.upper()}.JPG"))


@pytest.mark.parametrize(("in_table", "other"), FORMS)
def test_the_form_of_the_table_comes_first_and_two_others_are_named(tmp_path, in_table, other):
    release = TinyRelease()
    set_value(4, "clinic", f"NEL/{in_table}.jpg")(release)
    root = release.write(tmp_path / "release")
    source = root / "images" / picture_names(4)[0]
    for name in (in_table, other):
        shutil.copy(source, root / "images" / "NEL" / f"{name}.jpg")
    assert read_release(root)["clinical"][4].endswith(f"/NEL/{in_table}.jpg")
    (root / "images" / "NEL" / f"{in_table}.jpg").rename(root / "images" / "NEL" / f"{in_table.lower()}.jpg")
    assert read_release(root)["clinical"][4].endswith(f"/NEL/{other}.jpg"), "same case before other case"


def test_two_names_that_look_alike_are_told_apart_in_the_message(tmp_path):
    release = TinyRelease()
    set_value(4, "clinic", f"nel/{COMPOSED.lower()}.jpg")(release)
    root = release.write(tmp_path / "release")
    for name in (COMPOSED, DECOMPOSED):
        shutil.copy(root / "images" / picture_names(4)[0], root / "images" / "NEL" / f"{name}.jpg")
    (problem,) = scan_data_set(root)[1]
    assert problem.kind == "ambiguous_path"
    assert "'NEL/A\\u0308le\\u0301.jpg', 'NEL/\\xc4l\\xe9.jpg'" in problem.message


@pytest.mark.parametrize(("in_table", "on_disk"), FORMS)
def test_lists_of_pairs_find_names_in_the_other_form(tmp_path, in_table, on_disk):
    folder = tmp_path / on_disk
    folder.mkdir()
    (folder / f"{on_disk}.jpg").write_bytes(b"x")
    (folder / "b.jpg").write_bytes(b"y")
    table = tmp_path / "pairs.csv"
    table.write_text(f"case_num,clinical,dermoscopic\n1,{in_table}/{in_table}.jpg,{in_table}/b.jpg\n", encoding="utf-8")
    expected = (str(folder / f"{on_disk}.jpg"), str(folder / "b.jpg"))
    assert [tuple(map(str, pair)) for pair in find_pairs(table)] == [expected]
    (row,) = open_source(str(table)).rows()
    assert (row.clinical, row.dermoscopic, row.error) == (*expected, None)
    assert urls.read_bytes(row.clinical) == b"x"


def test_two_other_forms_in_a_list_are_an_error_of_that_row(tmp_path):
    both = (f"{COMPOSED}{DECOMPOSED}.jpg", f"{DECOMPOSED}{COMPOSED}.jpg")
    for name in both:
        (tmp_path / name).touch()
    table = tmp_path / "pairs.csv"
    wanted = f"{COMPOSED}{COMPOSED}.jpg"
    table.write_text(f"case_num,clinical,dermoscopic\n1,{wanted},b.jpg\n2,{both[0]},b.jpg\n", encoding="utf-8")
    bad, good = open_source(str(table)).rows()
    assert "is ambiguous, it differs in Unicode form only from: " in bad.error
    assert all(ascii(str(tmp_path / name)) in bad.error for name in both)
    assert (good.clinical, good.error) == (str(tmp_path / both[0]), None)
    with pytest.raises(DataError, match="is ambiguous"):
        find_pairs(table)


@pytest.mark.parametrize(("first", "second"), FORMS)
def test_a_folder_of_pairs_joins_both_forms_and_leaves_litter_out(tmp_path, first, second):
    for name in (f"{first}_clinical.jpg", f"{second}_dermoscopic.jpg", "._x_clinical.jpg", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).touch()
    assert [tuple(path.name for path in pair) for pair in find_pairs(tmp_path)] == [
        (f"{first}_clinical.jpg", f"{second}_dermoscopic.jpg")
    ]


def test_wildcards_in_the_name_of_a_folder_are_letters(tmp_path):
    (tmp_path / "q1").mkdir()  # what q[1] would mean as a pattern
    folder = tmp_path / f"q[1]*? {{x}} %41 #1 {COMPOSED} {DECOMPOSED}"
    folder.mkdir()
    pair = (folder / "p_clinical.jpg", folder / "p_dermoscopic.jpg")
    for path in pair:
        path.write_bytes(b"x")
    table = folder / "pairs.csv"
    table.write_text("case_num,clinical,dermoscopic\n1,p_clinical.jpg,p_dermoscopic.jpg\n", encoding="utf-8")
    assert find_pairs(folder) == find_pairs(table) == [pair]
    (row,) = open_source(str(table)).rows()
    assert (row.clinical, row.dermoscopic, row.error) == (*map(str, pair), None)
    assert urls.read_bytes(row.clinical) == b"x"


@pytest.mark.parametrize(("wanted", "stored"), FORMS)
def test_object_stores_too(wanted, stored):
    found = StoreResolver("gs://b/images", [f"gs://b/images/{stored}/x.JPG", "gs://b/images/y.jpg"])
    assert found.resolve(f"{wanted}/x.jpg") == f"gs://b/images/{stored}/x.JPG"


def test_bytes_of_a_name_count_as_its_letters_in_the_c_locale():
    held = COMPOSED.encode().decode("ascii", "surrogateescape")
    assert names.one_form(held) == names.one_form(DECOMPOSED) == COMPOSED
    assert names.without_case(held) == names.without_case(DECOMPOSED.upper())
    assert names.one_form("\udce9") == "\udce9"


@pytest.mark.parametrize("store", ["release/.git/annex/objects", "../.git/annex/objects", "../.dvc/cache/files/md5"])
@pytest.mark.parametrize("relative", [True, False])
def test_pictures_in_the_store_of_the_same_data_set_are_read(root, store, relative):
    before = check_data_set(root)
    annexed(root, root.parent / store, relative)
    assert len(read_release(root)) == 12
    after = check_data_set(root)
    assert (after.problems, after.sizes) == (before.problems, before.sizes)


def test_a_link_that_leads_elsewhere_is_refused_unless_its_folder_is_allowed(root, tmp_path, monkeypatch):
    store = tmp_path / "shared cache"
    annexed(root, store, relative=False)
    _, problems = scan_data_set(root)
    assert {problem.kind for problem in problems} == {"path_leaves_images"}
    assert len(problems) == 24
    assert f"by a symbolic link to {store}" in problems[0].message
    assert f"name a folder above it in {names.LINKS_TO}" in problems[0].message
    monkeypatch.setenv(names.LINKS_TO, f"{tmp_path / 'nothing'}{os.pathsep}{store}")
    assert len(read_release(root)) == 12
    assert check_data_set(root).ok
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(names.LINKS_TO, "~/shared cache")
    assert len(read_release(root)) == 12


def test_a_link_beside_an_allowed_folder_is_refused(root, tmp_path, monkeypatch):
    annexed(root, tmp_path / "store-2", relative=False)
    (tmp_path / "store").mkdir()
    monkeypatch.setenv(names.LINKS_TO, str(tmp_path / "store"))
    assert len(scan_data_set(root)[1]) == 24


@pytest.mark.parametrize(
    ("target", "advice"),
    [
        (
            "../../.git/annex/objects/Xx/9z/a.jpg",
            "is a link whose content is not here: git annex get, or data",
        ),
        ("../../.dvc/cache/files/md5/ab/cd", "is a link whose content is not here: dvc pull"),
        ("/mnt/pool/files/md5/ab/cd", "is a link whose content is not here: dvc pull"),
        ("gone.jpg", "is a link to gone.jpg, where nothing is"),
    ],
)
def test_a_link_without_content_says_how_to_get_it(root, target, advice):
    picture = root / "images" / picture_names(3)[0]
    picture.unlink()
    picture.symlink_to(target)
    (problem,) = scan_data_set(root)[1]
    assert (problem.row, problem.kind) == (3, "missing_image")
    assert advice in problem.message
    with pytest.raises(DataError, match=advice):
        urls.read_bytes(str(picture))


@pytest.mark.parametrize(
    ("content", "command"),
    [
        (b"/annex/objects/MD5E-s1-a.jpg\n", "git annex get"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs"),
    ],
)
def test_a_pointer_instead_of_a_picture_says_how_to_get_it(root, content, command):
    picture = root / "images" / picture_names(3)[0]
    picture.write_bytes(content)
    (problem,) = scan_data_set(root)[1]
    assert f"is a pointer, its content is not here: {command}" in problem.message
    with pytest.raises(DataError, match=command):
        urls.read_bytes(str(picture))


def test_versions_and_their_files_are_not_what_a_desktop_leaves(tmp_path):
    for name in ("1", "2", "\u0663", "._3"):
        (tmp_path / name).mkdir()
    (tmp_path / "4").touch()
    assert publish.versions(tmp_path) == [1, 2]
    version = tmp_path / "1"
    (version / "saved_model.pb").write_bytes(b"x")
    for name in (".DS_Store", "._saved_model.pb", "__MACOSX/x"):
        (version / name).parent.mkdir(exist_ok=True)
        (version / name).touch()
    assert list(version_files.file_digests(version)) == ["saved_model.pb"]
    version_files.check_files(version, version_files.file_digests(version))
