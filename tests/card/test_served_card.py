"""What travels of a card with each version: read back, it says what the card says."""

import json

import pytest
from small_pairs import HOSPITAL

from amfam_tf.card import cards, served
from amfam_tf.card.served import ServedCard
from amfam_tf.errors import DataError

CARDS = {
    "derm7pt": cards.packaged("derm7pt"),
    "milk10k": cards.packaged("milk10k"),
    "hospital": cards.parse(HOSPITAL, "hospital"),
}


@pytest.mark.parametrize("name", CARDS)
def test_it_says_what_the_card_says(name):
    card = CARDS[name]
    found = ServedCard.from_json(served.to_json(card))
    assert (found.name, found.title) == (card.name, card.title or card.name)
    told = [(task.name, task.title, task.classes, task.class_titles) for task in card.tasks]
    assert [(task.name, task.title, task.classes, task.class_titles) for task in found.tasks] == told
    assert found.main == found.tasks[0]
    assert found.main.name == card.main_task.name
    assert found.targets == card.targets
    assert {key: score.points for key, score in found.scores.items()} == {
        key: score.points for key, score in card.scores.items()
    }
    assert [score.thresholds for score in found.scores.values()] == [one.thresholds for one in card.scores.values()]
    assert served.to_json(card).isascii()


def test_a_score_says_its_tasks_points_and_range():
    card = CARDS["derm7pt"]
    score = card.scores["seven_point_score"]
    assert [task.name for task in score.counted(card.tasks)] == ["PN", "BWV", "VS", "PIG", "STR", "DaG", "RS"]
    assert [score.points_of(task) for task in card.tasks] == [task.scores for task in card.tasks]
    assert score.range_of(card.tasks) == (0, 10)
    (risk,) = CARDS["hospital"].scores.values()
    assert risk.range_of(CARDS["hospital"].tasks) == (0, 3)
    assert risk.points_of(CARDS["hospital"].tasks[0]) == (2, 0)


def test_what_a_later_version_says_more_is_left_out():
    content = json.loads(served.to_json(CARDS["hospital"])) | {"weather": "fine"}
    content["targets"]["melanoma"]["colour"] = "black"
    assert ServedCard.from_json(json.dumps(content)) == ServedCard.of(CARDS["hospital"])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"format":1', '"format":2', "the served card is of format 2, this program reads 1"),
        (
            '"classes":["MEL"]',
            '"classes":["XX"]',
            "the served card cannot be read: ValueError: task DX has no class XX",
        ),
        ('"main_task":"DX"', '"main_task":"ZZ"', "the served card cannot be read: KeyError: 'ZZ'"),
        ('"title":"naevus"', '"titel":"naevus"', "the served card cannot be read: KeyError: 'title'"),
        ("{", "", "the served card cannot be read: JSONDecodeError"),
    ],
)
def test_what_is_no_served_card_is_refused(old, new, said):
    text = served.to_json(CARDS["hospital"])
    assert old in text
    with pytest.raises(DataError) as caught:
        ServedCard.from_json(text.replace(old, new, 1))
    assert str(caught.value).startswith(said)
