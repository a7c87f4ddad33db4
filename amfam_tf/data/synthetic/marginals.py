"""How many cases each split and each class gets: Table 1 of Wang et al. 2022, scaled to any number of cases."""

from collections.abc import Sequence

SPLIT_SIZES: dict[str, int] = {"train": 413, "validate": 203, "test": 395}
DERM7PT_CASES = sum(SPLIT_SIZES.values())

CLASS_COUNTS: dict[str, dict[str, tuple[int, ...]]] = {
    "train": {
        "DIAG": (19, 256, 90, 32, 16),
        "PN": (160, 160, 93),
        "BWV": (339, 74),
        "VS": (347, 43, 23),
        "PIG": (253, 44, 116),
        "STR": (273, 39, 101),
        "DaG": (84, 156, 173),
        "RS": (317, 96),
    },
    "validate": {
        "DIAG": (7, 100, 61, 25, 10),
        "PN": (84, 75, 44),
        "BWV": (157, 46),
        "VS": (163, 22, 18),
        "PIG": (112, 26, 65),
        "STR": (123, 24, 56),
        "DaG": (45, 60, 98),
        "RS": (152, 51),
    },
    "test": {
        "DIAG": (16, 219, 101, 40, 19),
        "PN": (156, 146, 93),
        "BWV": (320, 75),
        "VS": (313, 52, 30),
        "PIG": (223, 48, 124),
        "STR": (257, 44, 94),
        "DaG": (100, 118, 177),
        "RS": (289, 106),
    },
}
"""Split -> task name -> cases per class, in class number order."""


def largest_remainder(weights: Sequence[int], total: int) -> tuple[int, ...]:
    """Returns whole numbers that sum to `total` and are each less than one away from the proportional share.

    Args:
        weights: non-negative, not all zero; equal to the answer when they already sum to `total`.
        total: >= 0. Ties go to the earlier entry.
    """
    whole = sum(weights)
    shares = [divmod(weight * total, whole) for weight in weights]
    missing = total - sum(floor for floor, _ in shares)
    raised = sorted(range(len(weights)), key=lambda index: (-shares[index][1], index))[:missing]
    return tuple(floor + (index in raised) for index, (floor, _) in enumerate(shares))


def split_sizes(cases: int) -> dict[str, int]:
    """Returns the number of cases of each split."""
    return dict(zip(SPLIT_SIZES, largest_remainder(tuple(SPLIT_SIZES.values()), cases), strict=True))


def class_quotas(split: str, cases: int) -> dict[str, tuple[int, ...]]:
    """Returns for each task the cases per class of a split that has `cases` cases."""
    return {task: largest_remainder(counts, cases) for task, counts in CLASS_COUNTS[split].items()}
