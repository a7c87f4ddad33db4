"""The cards that come with the package: Derm7pt's gives what was code before, to the last string."""

import pytest

from amfam_tf import tasks
from amfam_tf.card import cards

DERM7PT = {
    "DIAG": ("diagnosis", "diagnosis", "BCC NEV MEL MISC SK", (0, 0, 0, 0, 0), (1, 7, 6, 5, 1)),
    "PN": ("pigment network", "pigment_network", "ABS TYP ATP", (0, 0, 2), (1, 1, 1)),
    "BWV": ("blue-whitish veil", "blue_whitish_veil", "ABS PRS", (0, 2), (1, 1)),
    "VS": ("vascular structures", "vascular_structures", "ABS REG IR", (0, 0, 2), (1, 5, 2)),
    "PIG": ("pigmentation", "pigmentation", "ABS REG IR", (0, 0, 1), (1, 2, 2)),
    "STR": ("streaks", "streaks", "ABS REG IR", (0, 0, 1), (1, 1, 1)),
    "DaG": ("dots and globules", "dots_and_globules", "ABS REG IR", (0, 0, 1), (1, 1, 1)),
    "RS": ("regression structures", "regression_structures", "ABS PRS", (0, 1), (1, 3)),
}
"""Task -> title, column, classes, points, how many raw labels each class has."""
LABELS = {
    "clark nevus": ("DIAG", "NEV"),
    "reed or spitz nevus": ("DIAG", "NEV"),
    "melanoma (in situ)": ("DIAG", "MEL"),
    "melanoma (less than 0.76 mm)": ("DIAG", "MEL"),
    "melanoma metastasis": ("DIAG", "MEL"),
    "melanosis": ("DIAG", "MISC"),
    "vascular lesion": ("DIAG", "MISC"),
    "within regression": ("VS", "REG"),
    "linear irregular": ("VS", "IR"),
    "localized regular": ("PIG", "REG"),
    "combinations": ("RS", "PRS"),
}


def test_derm7pt_has_its_questions():
    found = {
        task.name: (task.title, task.column, " ".join(task.classes), task.scores, tuple(map(len, task.raw_labels)))
        for task in cards.packaged("derm7pt").tasks
    }
    assert found == DERM7PT
    assert list(found) == list(DERM7PT)
    assert cards.packaged("derm7pt").tasks == tasks.TASKS


@pytest.mark.parametrize("raw", LABELS)
def test_a_label_of_derm7pt_has_its_class(raw):
    name, expected = LABELS[raw]
    task = cards.packaged("derm7pt").task(name)
    assert task.classes[task.encode(raw)] == expected


def test_metadata_of_derm7pt_and_what_follows_from_the_diagnosis():
    metadata = cards.packaged("derm7pt").metadata
    assert [(name, len(column.raw_values)) for name, column in metadata.items()] == [
        ("level_of_diagnostic_difficulty", 3),
        ("elevation", 3),
        ("location", 9),
        ("sex", 2),
        ("management", 3),
    ]
    following = {name for name, column in metadata.items() if column.follows_from}
    assert following == {"management", "level_of_diagnostic_difficulty"}
    assert metadata["location"].raw_values["acral"] == ("acral",)


def test_milk10k_has_eleven_classes_of_which_five_are_malignant():
    card = cards.packaged("milk10k")
    (task,) = card.tasks
    assert " ".join(task.classes) == "AKIEC BCC BEN_OTH BKL DF INF MAL_OTH MEL NV SCCKA VASC"
    assert task.one_hot == task.classes
    assert task.scores == (0,) * 11
    assert set(card.targets["malignant"].classes) == {"AKIEC", "BCC", "MAL_OTH", "MEL", "SCCKA"}
    assert not card.metadata["skin_tone_class"].input


@pytest.mark.parametrize("name", cards.packaged_names())
def test_a_card_is_the_same_when_it_is_written_and_read(name):
    card = cards.packaged(name)
    assert cards.parse(cards.to_yaml(card), "again") == card
