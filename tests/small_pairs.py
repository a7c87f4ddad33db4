"""Small data sets of pairs in several layouts, pictures drawn here, each with its card."""

import csv
import itertools
from pathlib import Path

import numpy as np
from PIL import Image

from amfam_tf.card import cards

_numbers = itertools.count()

HOSPITAL = """
name: hospital
cases: {table: hospital.csv, id: lesion, group: patient}
pictures:
  folder: pictures
  clinical: {column: overview, missing: allowed}
  dermoscopic: {path: "{lesion}/derm*.png", several: allowed}
split: {assign: {train: 0.6, validate: 0.2, test: 0.2, stratify: DX, seed: 3, folds: 2}}
tasks:
  - name: DX
    title: diagnosis
    column: Diagnose
    classes: [{name: MEL, labels: [Melanom]}, {name: NEV, title: naevus, labels: [Naevus, Nävus]}]
    missing: [unklar, ""]
  - {name: ULC, column: Ulkus, classes: [{name: no, labels: [nein]}, {name: yes, labels: [ja]}]}
targets: {melanoma: {task: DX, classes: [MEL]}}
scores: {risk: {points: {DX: {MEL: 2}, ULC: {yes: 1}}, thresholds: {high: 2}, suggests: melanoma}}
metadata:
  age: {column: Alter, range: [0, 110], missing: [""]}
  sex: {column: Geschlecht, values: {female: [w], male: [m]}, follows_from: DX}
"""
COMPLETE_HOSPITAL = HOSPITAL.replace(", missing: allowed", "").replace(", several: allowed", "")
"""The card for cases of two pictures each."""
HOSPITAL_HEADER = ("lesion", "patient", "overview", "Diagnose", "Ulkus", "Alter", "Geschlecht")


def draw_picture(path: Path) -> None:
    """Writes a picture of 70 x 66 pixels that no other one is equal to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(next(_numbers)).integers(0, 255, (66, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_rows(path: Path, header: tuple[str, ...], rows: list[tuple], **options) -> None:
    """Writes a table."""
    with path.open("w", newline="", encoding=options.pop("encoding", "utf-8")) as file:
        csv.writer(file, **options).writerows([header, *rows])


def hospital_rows() -> list[tuple]:
    """Returns twelve lesions of six patients, two of each; ages have decimal commas."""
    rows = []
    for number in range(12):
        lesion = f"L{number}"
        diagnosis = ["Melanom", "Naevus", "Nävus", "unklar"][number % 4]
        row = (lesion, f"P{number // 2}", f"uebersicht_{number}.png", diagnosis, ["ja", "nein"][number // 2 % 2])
        rows.append((*row, f"{40 + number},5", "wm"[number % 2]))
    return rows


def write_hospital(root: Path, rows: list[tuple] | None = None, card: str = HOSPITAL) -> Path:
    """Writes the hospital's export as Excel does: a mark, semicolons, CRLF; returns `root`.

    L0 has three dermoscopic pictures; L1 has no clinical one.
    """
    root.mkdir(parents=True, exist_ok=True)
    rows = hospital_rows() if rows is None else rows
    rows = [(*row[:2], "", *row[3:]) if row[0] == "L1" else row for row in rows]
    write_rows(root / "hospital.csv", HOSPITAL_HEADER, rows, delimiter=";", encoding="utf-8-sig")
    (root / cards.FILE).write_text(card, encoding="utf-8")
    for row in rows:
        if row[2]:
            draw_picture(root / "pictures" / row[2])
        for number in range(3 if row[0] == "L0" else 1):
            draw_picture(root / "pictures" / row[0] / f"derm{number}.png")
    return root


def write_complete_hospital(root: Path) -> Path:
    """Writes the hospital's twelve lesions with two pictures each and the card for them; returns `root`.

    L1 has the clinical picture of L0, a lesion of the same patient.
    """
    write_hospital(root, card=COMPLETE_HOSPITAL)
    for number in (1, 2):
        (root / "pictures" / "L0" / f"derm{number}.png").unlink()
    table = root / "hospital.csv"
    table.write_text(table.read_text(encoding="utf-8-sig").replace("L1;P0;;", "L1;P0;uebersicht_0.png;"))
    return root


def milk10k_class(number: int) -> int:
    """Returns the class of a lesion of `write_milk10k`: all eleven occur, the ninth once."""
    return 8 if number == 8 else [0, 1, 2, 3, 4, 5, 6, 7, 9, 10][number % 10]


def write_milk10k(root: Path, lesions: int = 24) -> Path:
    """Writes lesions in the layout of MILK10k, with its traps; returns `root`.

    The clinical id is the smaller one in every second lesion, one has no site, two have tone 0.
    """
    classes = cards.packaged("milk10k").tasks[0].classes
    root.mkdir(parents=True, exist_ok=True)
    truth, pictures = [], []
    for number in range(lesions):
        lesion, known = f"IL_{number:07d}", milk10k_class(number)
        truth.append((lesion, *(f"{float(place == known)}" for place in range(len(classes)))))
        ids = [f"ISIC_{2 * number:07d}", f"ISIC_{2 * number + 1:07d}"]
        views = ["clinical: close-up", "dermoscopic"] if number % 2 else ["dermoscopic", "clinical: close-up"]
        site = "" if number == 3 else "hand"
        for view, name in zip(views, ids, strict=True):
            tone = 0 if number in (1, 2) else 3
            pictures.append((lesion, view, name, "" if number == 4 else 45, "female", tone, site, 0.25 * len(view)))
            path = root / "MILK10k_Training_Input" / lesion / f"{name}.jpg"
            draw_picture(path)
    header = ("lesion_id", "image_type", "isic_id", "age_approx", "sex", "skin_tone_class", "site", "MONET_hair")
    write_rows(root / "MILK10k_Training_GroundTruth.csv", ("lesion_id", *classes), truth)
    write_rows(root / "MILK10k_Training_Metadata.csv", header, pictures)
    return root
