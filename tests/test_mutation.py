"""The lists of the mutation run are those of the code as it is now."""

from pathlib import Path

import pytest

from amfam_tf import strict_yaml
from mutation import by_hand
from mutation.annotations import annotation_ranges
from mutation.rooms import read_rooms

ROOT = Path(__file__).parent.parent
ROOMS = read_rooms()


@pytest.mark.parametrize("name", ROOMS)
def test_modules_and_tests_of_a_room_exist(name):
    room = ROOMS[name]
    assert set(room) == {"modules", "tests"}
    for path in (*room["modules"], *room["tests"]):
        assert (ROOT / path).is_file(), path


def test_no_module_is_in_two_rooms():
    modules = [module for room in ROOMS.values() for module in room["modules"]]
    assert len(modules) == len(set(modules))


def test_every_change_by_hand_can_be_made_and_can_still_be_read():
    mutants = by_hand.read()
    assert len({mutant.why for mutant in mutants}) == len(mutants) > 30
    for mutant in mutants:
        changed = by_hand.apply(mutant, (ROOT / mutant.file).read_text(encoding="utf-8"))
        if mutant.file.endswith(".yaml"):
            strict_yaml.parse(changed, mutant.file)
        else:
            compile(changed, mutant.file, "exec")
        assert mutant.room in ROOMS


def test_a_change_that_no_longer_fits_is_an_error():
    mutant = by_hand.Mutant("a reason", "tasks", "tasks.py", "x = 1", "x = 2")
    assert by_hand.apply(mutant, "x = 1\ny = 1\n") == "x = 2\ny = 1\n"
    for text in ("x = 3\n", "x = 1\nx = 1\n"):
        with pytest.raises(ValueError, match="'x = 1' is not once in tasks.py"):
            by_hand.apply(mutant, text)


def test_annotations_are_found_and_values_are_not():
    source = (
        "@dataclass(frozen=True)\nclass A:\n    size: int | None = 1 | 2\n\n"
        "    def f(self, a: int) -> int | str:\n        return a | 1\n"
    )
    lines = source.splitlines()
    spans = [lines[start[0] - 1][start[1] + 1 : end[1] - 1] for start, end in annotation_ranges(source)]
    assert sorted(spans) == ["dataclass(frozen=True)", "int", "int | None", "int | str"]
