"""The drawn MILK10k: counts, traps and files of the layout, read back by its card."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from amfam_tf.card import cards
from amfam_tf.cli.check import check
from amfam_tf.cli.synth import synth
from amfam_tf.data.cases import read
from amfam_tf.data.check import check_data_set
from amfam_tf.data.pairs import scan_blind, scan_pairs
from amfam_tf.data.synthetic import write_milk10k
from amfam_tf.data.synthetic.milk10k import COUNTS, LAYOUTS, class_counts
from amfam_tf.errors import ConfigError

LESIONS = 36


@pytest.fixture(scope="module")
def milk(tmp_path_factory):
    """A drawn data set of 36 lesions, 80 x 72 pixels; not to be changed."""
    root = tmp_path_factory.mktemp("drawn") / "milk"
    write_milk10k(root, LESIONS, seed=4, size=(80, 72), workers=1)
    return root


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_counts_are_those_of_the_challenge():
    assert class_counts(5240) == COUNTS
    assert (COUNTS["BCC"], COUNTS["MAL_OTH"], COUNTS["NV"]) == (2522, 9, 746)
    for cases in (10, 11, 12, 36, 100, 524, 5239):
        counts = class_counts(cases)
        assert sum(counts.values()) == cases
        assert min(counts.values()) >= (cases >= 11)
        assert abs(counts["BCC"] - 2522 * cases / 5240) < 8


def test_its_own_card_reads_it_without_a_problem(milk):
    card, folder = cards.find(milk)
    assert (card.name, folder) == ("milk10k", milk)
    report = check_data_set(milk, card=card)
    assert report.problems == []
    assert dict(zip(report.counts["class"], report.counts["total"], strict=True)) == class_counts(LESIONS)
    assert report.sizes == {"80 x 72": 2 * LESIONS}
    assert sum(report.splits.values()) == LESIONS


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The same lesions in the archive's layout; not to be changed."""
    root = tmp_path_factory.mktemp("drawn") / "archive"
    write_milk10k(root, LESIONS, seed=4, size=(80, 72), workers=1, layout="milk10k-archive")
    return root


def test_the_archives_layout_is_read_as_the_same_data(milk, archive):
    card, folder = cards.find(archive)
    assert (card, folder) == (cards.packaged("milk10k_archive"), archive)
    report = check_data_set(archive, card=card)
    assert report.problems == []
    assert dict(zip(report.counts["class"], report.counts["total"], strict=True)) == class_counts(LESIONS)
    one, other = read(milk), read(archive)
    assert one.fingerprint == other.fingerprint
    pictures = [f"{view}{kind}" for view in ("clinical", "dermoscopic") for kind in ("", "_all")]
    pd.testing.assert_frame_equal(one.cases.drop(columns=pictures), other.cases.drop(columns=pictures))
    assert {Path(path).parent for path in other.cases["clinical"]} == {archive / "images"}


def test_the_archive_has_one_folder_of_pictures_and_no_blind_part(archive):
    files = {path.relative_to(archive).as_posix() for path in archive.rglob("*") if path.is_file()}
    tables = {"metadata.csv", *(f"supplements/training_{name}.csv" for name in ("gt", "input", "supp"))}
    rows = rows_of(archive / "metadata.csv")
    assert files == {*tables, *(f"images/{row['isic_id']}.jpg" for row in rows)}
    assert len(rows) == 2 * LESIONS
    sites = {row["isic_id"]: row["site"] for row in rows_of(archive / "supplements/training_input.csv")}
    assert "trunk" in sites.values()
    assert all((row["anatom_site_general"] == "") == (sites[row["isic_id"]] in ("", "trunk")) for row in rows)
    with pytest.raises(ConfigError, match="names no blind part"):
        scan_blind(cards.packaged("milk10k_archive"), archive)


def test_the_traps_are_there(milk):
    pictures = rows_of(milk / "MILK10k_Training_Metadata.csv")
    assert len(pictures) == 2 * LESIONS
    by_lesion: dict[str, dict[str, dict[str, str]]] = {}
    for row in pictures:
        by_lesion.setdefault(row["lesion_id"], {})[row["image_type"]] = row
    assert all(set(views) == {"clinical: close-up", "dermoscopic"} for views in by_lesion.values())
    smaller = Counter(v["clinical: close-up"]["isic_id"] < v["dermoscopic"]["isic_id"] for v in by_lesion.values())
    assert min(smaller[True], smaller[False]) > LESIONS // 4
    for column, value in (("site", ""), ("age_approx", ""), ("skin_tone_class", "0")):
        assert any(row[column] == value for row in pictures), column
    assert any(a["MONET_hair"] != b["MONET_hair"] for a, b in (v.values() for v in by_lesion.values()))
    names = [row["isic_id"] for row in pictures]
    assert len(set(names)) == len(names)
    assert {row["isic_id"] for row in rows_of(milk / "MILK10k_Training_Supplement.csv")} == set(names)
    ids = [row["lesion_id"] for row in rows_of(milk / "MILK10k_Training_GroundTruth.csv")]
    assert ids != sorted(ids)


def test_the_blind_part_has_pictures_and_no_label(milk):
    blind = rows_of(milk / "MILK10k_Test_Metadata.csv")
    assert len(blind) == 2 * 3
    assert {path.parent.name for path in milk.glob("MILK10k_Test_Input/*/*.jpg")} == {row["lesion_id"] for row in blind}
    known = {row["lesion_id"] for row in rows_of(milk / "MILK10k_Training_GroundTruth.csv")}
    assert known.isdisjoint(row["lesion_id"] for row in blind)
    assert not (milk / "MILK10k_Test_GroundTruth.csv").exists()


def test_equal_seeds_give_equal_bytes_whatever_the_workers_and_other_seeds_others(milk, tmp_path):
    for name, seed, workers in (("again", 4, 2), ("other", 5, 1)):
        write_milk10k(tmp_path / name, LESIONS, seed=seed, size=(80, 72), workers=workers)
    files = sorted(path.relative_to(milk) for path in milk.rglob("*") if path.is_file())
    again = sorted(path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file())
    assert again == files
    assert all((milk / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)
    table = "MILK10k_Training_GroundTruth.csv"
    assert (milk / table).read_bytes() != (tmp_path / "other" / table).read_bytes()


def test_classes_do_not_look_alike(milk):
    frame, _ = scan_pairs(cards.packaged("milk10k"), milk)
    means = {
        name: np.mean([np.asarray(Image.open(path)) for path in frame["dermoscopic"][frame["DIAG"] == number]])
        for number, name in enumerate(cards.packaged("milk10k").tasks[0].classes)
    }
    assert len({round(float(mean), 2) for mean in means.values()}) == len(means)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_verb_draws_it(layout, tmp_path):
    words = ["--out", str(tmp_path / "milk"), "--layout", layout, "--cases", "12", "--size", "64x64"]
    result = CliRunner().invoke(synth, words)
    assert result.exit_code == 0, result.output
    card, folder = cards.find(tmp_path / "milk")
    assert len(rows_of(folder / card.cases.table)) == 12
    result = CliRunner().invoke(check, [str(folder)])
    assert result.exit_code == 0 and result.output.count("DIAG") == 11, result.output
    result = CliRunner().invoke(synth, ["--out", str(tmp_path / "x"), "--layout", layout, "--traps"])
    assert result.exit_code == 2
    assert f"{layout} always has its traps" in result.output


def test_the_verb_knows_the_layouts_that_are_drawn():
    (option,) = (one for one in synth.params if one.name == "layout")
    assert [*option.type.choices] == ["derm7pt", *LAYOUTS]
