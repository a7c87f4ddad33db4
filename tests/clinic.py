"""Pairs whose metadata go into a network: a small data set, its card, and an exported run that takes four columns."""

import fcntl
import shutil
from pathlib import Path

import pytest
from exported_runs import Version, small_network, write_run
from small import SMALL_FOR_ANY
from small_pairs import COMPLETE_HOSPITAL, HOSPITAL_HEADER, hospital_rows, write_hospital, write_rows
from tiny_backbone import TINY_BACKBONE

from amfam_tf.card import cards
from amfam_tf.export.export import export_run
from amfam_tf.models.backbones import BACKBONES

TEXT = COMPLETE_HOSPITAL.replace(
    "values: {female: [w], male: [m]}", 'values: {female: [w, W], male: [m]}, missing: ["?"]'
)
TEXT += """  class: {column: Klasse, values: [none, some], missing: [""]}
  dose: {column: Dosis, range: [0.7, 2500], missing: ["-1", ""]}
  ward: {column: Station, values: [a, b], input: false}
"""
CARD = cards.parse(TEXT, "clinic")
COLUMNS = ("sex", "age", "class", "dose")
INPUTS = ("sex", "age", "metadata_class", "dose")
METHOD = ("model.metadata=[sex,age,class,dose]",)
LESIONS = tuple(f"L{number}" for number in range(2, 12))
AGES = ("44", "41,5", "", "0", "110", "54,3", "33.123456789", "60", "", "71")
SEXES = ("w", "m", "?", "W", "m", "w", "?", "m", "m", "w")
CLASSES = ("none", "", "some", "some", "none", "", "none", "some", "none", "some")
DOSES = ("2024,123", "0,7", "-1", "2500", "1e2", "", "12.5", "0.701", "-1", "3")


def write_clinic(root: Path) -> Path:
    """Writes ten lesions with unknown values in each column and numbers of many digits; returns `root`."""
    rows = [row[:5] for row in hospital_rows() if row[0] in LESIONS]
    write_hospital(root, [(*row, "", "") for row in rows], TEXT)
    columns = zip(AGES, SEXES, CLASSES, DOSES, ("a", "b") * 5, strict=True)
    full = [(*row, *more) for row, more in zip(rows, columns, strict=True)]
    header = (*HOSPITAL_HEADER, "Klasse", "Dosis", "Station")
    write_rows(root / "hospital.csv", header, full, delimiter=";", encoding="utf-8-sig")
    return root


def clinic_version(shared: Path) -> Version:
    """Returns the exported run, made below `shared` by the first who asks; its backbone is tiny."""
    run, models = shared / "clinic" / "run", shared / "clinic" / "models" / "lesions"
    shared.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch, (shared / "clinic.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        patch.setitem(BACKBONES, "resnet14_narrow", TINY_BACKBONE)
        options = {"method": "embeddingnet", "card": CARD, "sizes": SMALL_FOR_ANY}
        if (models / "1").is_dir():
            network = small_network(*METHOD, **options)
        else:
            shutil.rmtree(shared / "clinic", ignore_errors=True)
            network = write_run(run, *METHOD, temperatures={"DX": 3.0, "ULC": 4.0}, **options)
            export_run(run, models)
    return Version(run, models / "1", network)
