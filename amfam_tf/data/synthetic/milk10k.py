"""Draws a data set in a layout of MILK10k, with tables by picture and by lesion: the challenge's, a folder for each
lesion and a blind part; or the archive's, one folder for all pictures.

Counts and shares are those of the challenge's tables (2025). A class looks like what Derm7pt's drawer has for it, or
has a structure of its own: nothing of a real picture is used, and nothing can be learned about real lesions.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from amfam_tf.data.synthetic.case import draw_case
from amfam_tf.data.synthetic.data_set import appearing_at_once, check_options, each_done, save_picture, write_table
from amfam_tf.data.synthetic.streams import stream

COUNTS: Mapping[str, int] = {
    "AKIEC": 303,
    "BCC": 2522,
    "BEN_OTH": 44,
    "BKL": 544,
    "DF": 52,
    "INF": 50,
    "MAL_OTH": 9,
    "MEL": 450,
    "NV": 746,
    "SCCKA": 473,
    "VASC": 47,
}
"""Lesions of each class, in the order of the columns."""
LESIONS = sum(COUNTS.values())
BLIND_LESIONS = 479
SIZE = (600, 450)
LOOKS: Mapping[str, Mapping[str, str]] = {
    "AKIEC": {"diagnosis": "lentigo", "vascular_structures": "dotted"},
    "BCC": {"diagnosis": "basal cell carcinoma", "vascular_structures": "arborizing"},
    "BEN_OTH": {"diagnosis": "dermal nevus", "elevation": "nodular"},
    "BKL": {"diagnosis": "seborrheic keratosis", "elevation": "palpable"},
    "DF": {"diagnosis": "dermatofibroma", "pigment_network": "typical"},
    "INF": {"diagnosis": "miscellaneous", "vascular_structures": "dotted"},
    "MAL_OTH": {"diagnosis": "melanoma metastasis", "blue_whitish_veil": "present", "elevation": "nodular"},
    "MEL": {"diagnosis": "melanoma", "pigment_network": "atypical", "streaks": "irregular"},
    "NV": {"diagnosis": "clark nevus", "pigment_network": "typical", "dots_and_globules": "regular"},
    "SCCKA": {"diagnosis": "miscellaneous", "vascular_structures": "hairpin", "elevation": "nodular"},
    "VASC": {"diagnosis": "vascular lesion"},
}
"""What is drawn for each class: raw labels of Derm7pt."""
MALIGNANT = frozenset({"AKIEC", "BCC", "MAL_OTH", "MEL", "SCCKA"})
VIEWS = ("clinical: close-up", "dermoscopic")
SITES = ("trunk", "head_neck_face", "lower_extremity", "upper_extremity", "hand", "foot", "genital")
TONES = (6, 105, 506, 3174, 1066, 383)
"""Lesions of each skin tone, from 0 (very dark; a value, not "unknown") to 5."""
UNKNOWN_SITES, UNKNOWN_AGES, ALTERED = 31, 20, 335
CONCEPTS = (
    *("ulceration_crust", "hair", "vasculature_vessels", "erythema", "pigmented"),
    *("gel_water_drop_fluid_dermoscopy_liquid", "skin_markings_pen_ink_purple_pen"),
)
PICTURE_COLUMNS = (
    *("lesion_id", "image_type", "isic_id", "attribution", "copyright_license", "image_manipulation"),
    *("age_approx", "sex", "skin_tone_class", "site", *(f"MONET_{name}" for name in CONCEPTS)),
)
SUPPLEMENT_COLUMNS = ("isic_id", "diagnosis_full", "diagnosis_confirm_type", "invasion_thickness_interval")


ARCHIVE_COLUMNS = (
    *("isic_id", "attribution", "copyright_license", "age_approx", "anatom_site_general", "diagnosis_1"),
    *("diagnosis_2", "diagnosis_3", "diagnosis_4", "diagnosis_confirm_type", "image_manipulation", "image_type"),
    *("lesion_id", "sex"),
)


@dataclass(frozen=True)
class Packing:
    """Where the files are: {part} stands for Training or Test, {lesion} and {picture} for ids.

    Attributes:
        picture, truth, pictures, supplement: paths; of tables with a row for each lesion, picture and picture.
        parts: that there are; of the blind one there is no truth and no supplement.
        metadata: one more table of the pictures; "" for none.
    """

    picture: str
    truth: str
    pictures: str
    supplement: str
    parts: tuple[str, ...] = ("Training",)
    metadata: str = ""


LAYOUTS: Mapping[str, Packing] = {
    "milk10k": Packing(
        "MILK10k_{part}_Input/{lesion}/{picture}.jpg",
        "MILK10k_Training_GroundTruth.csv",
        "MILK10k_{part}_Metadata.csv",
        "MILK10k_Training_Supplement.csv",
        parts=("Training", "Test"),
    ),
    "milk10k-archive": Packing(
        "images/{picture}.jpg",
        "supplements/training_gt.csv",
        "supplements/training_input.csv",
        "supplements/training_supp.csv",
        metadata="metadata.csv",
    ),
}
"""By name: as the challenge gives the set, and as the archive does."""


@dataclass(frozen=True)
class LesionPlan:
    """One lesion: what decides its pictures and its rows.

    Attributes:
        row: from 0; decides what the labels leave open.
        name: its id, e.g. "IL_0000007".
        label: its class.
        part: "Training" or "Test".
        pictures: the id of each view's picture; either may be the smaller one.
        size: (width, height) in pixels.
    """

    row: int
    name: str
    label: str
    part: str
    pictures: Mapping[str, str]
    size: tuple[int, int]


def write_milk10k(
    out: str | os.PathLike[str],
    cases: int = LESIONS,
    seed: int = 0,
    size: tuple[int, int] = SIZE,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    layout: str = "milk10k",
) -> None:
    """Draws a data set and writes it in a layout of MILK10k, traps included; equal arguments give equal bytes.

    All layouts have the same labelled lesions, to the byte of each picture.

    Args:
        out: folder to make; it appears complete or not at all.
        cases: lesions with a label, 10 or more; 5240 gives exactly the counts of the classes. Of fewer each class has
            its share, one at least while there are eleven.
        seed, size, workers, progress: as for `write_data_set`.
        layout: one of `LAYOUTS`.

    Raises:
        UserError: a value that cannot be, or `out` exists and is not an empty folder.
    """
    check_options(cases, seed, size, workers)
    places = LAYOUTS[layout]
    with appearing_at_once(Path(out).absolute()) as hidden:
        plans = [plan for plan in _plan(cases, seed, size) if plan.part in places.parts]
        files = [*_pictures_of(plans, places).values(), *(places.truth, places.pictures, places.supplement)]
        for folder in {(hidden / file).parent for file in files}:
            folder.mkdir(parents=True, exist_ok=True)
        draw = partial(_draw, root=hidden, seed=seed, layout=places)
        for done, _ in enumerate(each_done(draw, plans, workers), 1):
            if progress is not None and done <= cases:
                progress(done)
        _write_tables(hidden, plans, places, seed)


def _pictures_of(plans: list[LesionPlan], layout: Packing) -> dict[tuple[str, str], str]:
    """Returns the path of each picture by its lesion and view."""
    return {
        (plan.name, view): layout.picture.format(part=plan.part, lesion=plan.name, picture=plan.pictures[view])
        for plan in plans
        for view in VIEWS
    }


def _write_tables(root: Path, plans: list[LesionPlan], layout: Packing, seed: int) -> None:
    for part in layout.parts:
        own = [plan for plan in plans if plan.part == part]
        rows = [dict(zip(PICTURE_COLUMNS, row, strict=True)) for row in _picture_rows(own, seed)]
        write_table(root / layout.pictures.format(part=part), PICTURE_COLUMNS, ([*row.values()] for row in rows))
        if layout.metadata:
            write_table(root / layout.metadata, ARCHIVE_COLUMNS, _archive_rows(own, rows))
    labelled = [plan for plan in plans if plan.part == "Training"]
    truth = ([plan.name, *(f"{float(plan.label == name)}" for name in COUNTS)] for plan in labelled)
    write_table(root / layout.truth, ("lesion_id", *COUNTS), truth)
    write_table(root / layout.supplement, SUPPLEMENT_COLUMNS, _supplement_rows(labelled))


def class_counts(cases: int) -> dict[str, int]:
    """Returns the lesions of each class among some: its share, rounded so that all add up, and one at least."""
    shares = {name: count * cases / LESIONS for name, count in COUNTS.items()}
    least = 1 if cases >= len(COUNTS) else 0
    counts = {name: max(least, int(share)) for name, share in shares.items()}
    for name in sorted(shares, key=lambda name: int(shares[name]) - shares[name])[
        : max(0, cases - sum(counts.values()))
    ]:
        counts[name] += 1
    while sum(counts.values()) > cases:
        counts[max(counts, key=lambda name: counts[name])] -= 1
    return counts


def _plan(cases: int, seed: int, size: tuple[int, int]) -> list[LesionPlan]:
    blind = max(1, round(BLIND_LESIONS * cases / LESIONS))
    random = stream(seed, 0, "milk10k")
    labels = [name for name, count in class_counts(cases).items() for _ in range(count)]
    labels = [labels[place] for place in random.permutation(cases)]
    labels += [str(name) for name in random.choice(list(COUNTS), blind, p=np.array([*COUNTS.values()]) / LESIONS)]
    lesions = random.permutation(10 * len(labels))[: len(labels)]
    pictures = random.permutation(20 * len(labels))[: 2 * len(labels)].reshape(-1, 2)
    return [
        LesionPlan(
            row,
            f"IL_{lesions[row]:07d}",
            label,
            "Training" if row < cases else "Test",
            {view: f"ISIC_{number:07d}" for view, number in zip(VIEWS, pictures[row], strict=True)},
            size,
        )
        for row, label in enumerate(labels)
    ]


def _draw(plan: LesionPlan, root: Path, seed: int, layout: Packing) -> None:
    paths = _pictures_of([plan], layout).values()
    for path, picture in zip(paths, draw_case(LOOKS[plan.label], seed, plan.row, plan.size), strict=True):
        save_picture(picture, root / path)


def _picture_rows(plans: list[LesionPlan], seed: int) -> Iterator[list[str]]:
    """Gives a row for each picture; of whatever the real tables have some of, the first lesions have one."""
    for place, plan in enumerate(plans):
        random = stream(seed, plan.row, "milk10k metadata")
        age = "" if place % (LESIONS // UNKNOWN_AGES) == 1 else str(5 * int(random.integers(1, 18)))
        site = "" if place % (LESIONS // UNKNOWN_SITES) == 2 else str(random.choice(SITES))
        tone = 0 if place == 0 else int(random.choice(len(TONES), p=np.array(TONES) / sum(TONES)))
        sex = str(random.choice(["male", "female"]))
        # It goes with the diagnosis, and with the clinical picture.
        altered = plan.label in MALIGNANT and bool(random.random() < ALTERED / LESIONS)
        views = sorted(VIEWS, key=lambda view, plan=plan: plan.pictures[view])  # type: ignore[misc]
        for view in views:
            manipulation = "altered" if altered and view == VIEWS[0] else ""
            known = [plan.name, view, plan.pictures[view], "drawn", "CC-0", manipulation, age, sex, str(tone), site]
            yield [*known, *(f"{value:.4f}" for value in random.random(len(CONCEPTS)))]


def _supplement_rows(plans: list[LesionPlan]) -> Iterator[list[str]]:
    for plan in plans:
        for view in VIEWS:
            yield [plan.pictures[view], LOOKS[plan.label]["diagnosis"], "histopathology", ""]


def _archive_rows(plans: list[LesionPlan], rows: list[dict[str, str]]) -> Iterator[list[str]]:
    """Gives the rows of metadata.csv: the sites lack the trunk, and the diagnosis stands there."""
    labels = {plan.name: plan.label for plan in plans}
    for row in sorted(rows, key=lambda row: row["isic_id"]):
        label = labels[row["lesion_id"]]
        kind = "Indeterminate" if label == "AKIEC" else "Malignant" if label in MALIGNANT else "Benign"
        site = "" if row["site"] == "trunk" else row["site"].replace("_", " ")
        more = {"anatom_site_general": site, "diagnosis_confirm_type": "histopathology"}
        more |= {"diagnosis_1": kind, "diagnosis_3": LOOKS[label]["diagnosis"]}
        yield [more.get(name, row.get(name, "")) for name in ARCHIVE_COLUMNS]
