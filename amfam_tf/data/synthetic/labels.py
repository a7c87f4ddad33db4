"""Which class each case has: exact counts per split, and diagnosis and criteria that go together as in reality.

For each split
1. the diagnoses of the quota are shuffled over the cases, and each gets a raw string (e.g. "clark nevus");
2. each case gets a hidden atypia, higher for melanoma, which all of its criteria share;
3. for each criterion, utility = log P(class | diagnosis) + loading * atypia + Gumbel noise. Without quotas, the class
   of the highest utility would be a draw from the softmax of the first two terms;
4. the quotas are met exactly: class by class, the cases with the greatest margin over the other classes get it.
The result is a joint distribution near the given P, with the exact marginals.
"""

from dataclasses import dataclass, field

import numpy as np

from amfam_tf.data.synthetic.marginals import class_quotas, split_sizes
from amfam_tf.data.synthetic.streams import stream
from amfam_tf.tasks import CRITERIA, DIAGNOSIS, TASKS

CRITERIA_GIVEN_DIAGNOSIS: dict[str, dict[str, tuple[float, ...]]] = {
    "BCC": {
        "PN": (0.95, 0.03, 0.02),
        "BWV": (0.80, 0.20),
        "VS": (0.20, 0.75, 0.05),
        "PIG": (0.75, 0.02, 0.23),
        "STR": (0.93, 0.01, 0.06),
        "DaG": (0.55, 0.05, 0.40),
        "RS": (0.85, 0.15),
    },
    "NEV": {
        "PN": (0.33, 0.53, 0.14),
        "BWV": (0.92, 0.08),
        "VS": (0.90, 0.06, 0.04),
        "PIG": (0.63, 0.17, 0.20),
        "STR": (0.68, 0.16, 0.16),
        "DaG": (0.17, 0.48, 0.35),
        "RS": (0.85, 0.15),
    },
    "MEL": {
        "PN": (0.33, 0.10, 0.57),
        "BWV": (0.52, 0.48),
        "VS": (0.66, 0.14, 0.20),
        "PIG": (0.28, 0.04, 0.68),
        "STR": (0.41, 0.03, 0.56),
        "DaG": (0.15, 0.07, 0.78),
        "RS": (0.42, 0.58),
    },
    "MISC": {
        "PN": (0.60, 0.29, 0.11),
        "BWV": (0.80, 0.20),
        "VS": (0.85, 0.06, 0.09),
        "PIG": (0.75, 0.09, 0.16),
        "STR": (0.86, 0.05, 0.09),
        "DaG": (0.50, 0.20, 0.30),
        "RS": (0.75, 0.25),
    },
    "SK": {
        "PN": (0.85, 0.10, 0.05),
        "BWV": (0.82, 0.18),
        "VS": (0.65, 0.30, 0.05),
        "PIG": (0.65, 0.15, 0.20),
        "STR": (0.90, 0.05, 0.05),
        "DaG": (0.45, 0.15, 0.40),
        "RS": (0.88, 0.12),
    },
}
"""P(class of the criterion | diagnosis): round figures of what dermoscopy textbooks teach; not fitted to any data."""

CRITERIA_GIVEN_RAW_DIAGNOSIS: dict[str, dict[str, tuple[float, ...]]] = {
    "blue nevus": {"PN": (0.95, 0.03, 0.02), "BWV": (0.30, 0.70), "DaG": (0.60, 0.15, 0.25)},
    "dermal nevus": {"PN": (0.85, 0.12, 0.03), "VS": (0.50, 0.45, 0.05), "STR": (0.95, 0.03, 0.02)},
    "reed or spitz nevus": {"STR": (0.35, 0.48, 0.17), "DaG": (0.10, 0.60, 0.30), "PIG": (0.30, 0.45, 0.25)},
    "vascular lesion": {"PN": (0.97, 0.02, 0.01), "DaG": (0.70, 0.10, 0.20), "STR": (0.97, 0.02, 0.01)},
    "lentigo": {"PN": (0.30, 0.60, 0.10), "BWV": (0.98, 0.02)},
    "dermatofibroma": {"PN": (0.30, 0.62, 0.08), "VS": (0.65, 0.12, 0.23)},
    "melanoma (in situ)": {"BWV": (0.82, 0.18), "PN": (0.20, 0.15, 0.65)},
    "melanoma (more than 1.5 mm)": {"BWV": (0.20, 0.80), "PN": (0.60, 0.05, 0.35), "VS": (0.40, 0.15, 0.45)},
    "melanoma metastasis": {"PN": (0.90, 0.05, 0.05), "VS": (0.35, 0.15, 0.50)},
}
"""Where a raw string differs clearly from its class."""

RAW_DIAGNOSIS_WEIGHTS: dict[str, tuple[int, ...]] = {
    "BCC": (1,),
    "NEV": (28, 399, 13, 17, 33, 6, 79),
    "MEL": (1, 64, 102, 53, 28, 4),
    "MISC": (20, 24, 16, 8, 29),
    "SK": (1,),
}
"""How common each raw string is in its class, in the order of `tasks`."""

ATYPIA_MEAN: dict[str, float] = {"BCC": 0.0, "NEV": -0.2, "MEL": 0.5, "MISC": 0.0, "SK": 0.0}
ATYPIA_LOADING: dict[str, tuple[float, ...]] = {
    "PN": (0.0, -0.4, 0.7),
    "BWV": (0.0, 0.7),
    "VS": (0.0, 0.1, 0.6),
    "PIG": (-0.2, -0.2, 0.7),
    "STR": (-0.2, -0.3, 0.7),
    "DaG": (-0.2, -0.4, 0.7),
    "RS": (0.0, 0.6),
}


@dataclass(frozen=True)
class LabelledCase:
    """What a case has, before anything is drawn.

    Attributes:
        row: row number in meta.csv, from 0.
        split: train, validate or test.
        raw_diagnosis: e.g. "clark nevus".
        labels: class number per task name.
    """

    row: int
    split: str
    raw_diagnosis: str
    labels: dict[str, int] = field(hash=False)


def meet_quotas(utilities: np.ndarray, quotas: tuple[int, ...]) -> np.ndarray:
    """Returns a class per case, such that class k has exactly quotas[k] cases.

    Args:
        utilities: [cases, classes], higher is a better fit.
        quotas: cases per class; they sum to the number of cases.

    Returns:
        int array [cases]. The class with most cases is what remains after the others have taken theirs.
    """
    order = np.argsort(quotas, kind="stable")
    classes = np.full(len(utilities), order[-1])
    free = np.arange(len(utilities))
    for position, number in enumerate(order[:-1]):
        others = order[position + 1 :]
        margin = utilities[free, number] - np.logaddexp.reduce(utilities[np.ix_(free, others)], axis=1)
        chosen = np.argsort(-margin, kind="stable")[: quotas[number]]
        classes[free[chosen]] = number
        free = np.delete(free, chosen)
    return classes


def _criterion_utilities(
    diagnoses: np.ndarray, raw: list[str], atypia: np.ndarray, task: str, rng: np.random.Generator
) -> np.ndarray:
    """Returns log P(class | diagnosis) + loading * atypia + Gumbel noise, [cases, classes]."""
    rows = [
        CRITERIA_GIVEN_RAW_DIAGNOSIS.get(name, {}).get(
            task, CRITERIA_GIVEN_DIAGNOSIS[DIAGNOSIS.classes[diagnosis]][task]
        )
        for name, diagnosis in zip(raw, diagnoses, strict=True)
    ]
    utilities = np.log(np.array(rows)) + np.outer(atypia, ATYPIA_LOADING[task])
    return utilities + rng.gumbel(size=utilities.shape)


def _raw_diagnosis(number: int, rng: np.random.Generator) -> str:
    """Returns a raw string of the diagnosis class."""
    weights = np.array(RAW_DIAGNOSIS_WEIGHTS[DIAGNOSIS.classes[number]], float)
    return DIAGNOSIS.raw_labels[number][rng.choice(len(weights), p=weights / weights.sum())]


def _sample_split(split: str, rows: np.ndarray, rng: np.random.Generator) -> list[LabelledCase]:
    """Returns the cases of one split, in the order of `rows`."""
    quotas = class_quotas(split, len(rows))
    diagnoses = rng.permutation(np.repeat(np.arange(len(DIAGNOSIS.classes)), quotas["DIAG"]))
    raw = [_raw_diagnosis(number, rng) for number in diagnoses]
    means = np.array([ATYPIA_MEAN[DIAGNOSIS.classes[number]] for number in diagnoses])
    atypia = means + rng.standard_normal(len(rows))
    classes = {"DIAG": diagnoses}
    for task in CRITERIA:
        utilities = _criterion_utilities(diagnoses, raw, atypia, task.name, rng)
        classes[task.name] = meet_quotas(utilities, quotas[task.name])
    return [
        LabelledCase(int(row), split, raw[index], {task.name: int(classes[task.name][index]) for task in TASKS})
        for index, row in enumerate(rows)
    ]


def sample_labels(cases: int, seed: int) -> list[LabelledCase]:
    """Returns the labels of all cases: splits one after the other, row numbers of each split unsorted.

    Args:
        cases: number of cases of the data set.
        seed: >= 0.
    """
    rng = stream(seed, 0, "labels")
    rows = rng.permutation(cases)
    sampled: list[LabelledCase] = []
    for split, size in split_sizes(cases).items():
        sampled += _sample_split(split, rows[len(sampled) : len(sampled) + size], rng)
    return sampled
