"""The columns of meta.csv beside the classes: raw strings of the criteria, history, place, and what was done."""

import numpy as np

from amfam_tf.data.synthetic.labels import LabelledCase
from amfam_tf.data.synthetic.streams import stream
from amfam_tf.tasks import CRITERIA, DIAGNOSIS, METADATA, TASK_BY_NAME, seven_point_score

RAW_WEIGHTS: dict[tuple[str, int], tuple[float, ...]] = {
    ("PIG", 1): (0.75, 0.25),
    ("PIG", 2): (0.65, 0.35),
    ("RS", 1): (0.40, 0.25, 0.35),
    ("VS", 2): (0.70, 0.30),
}
"""(task, class) -> how common each raw string is, in the order of `tasks`."""

REGULAR_VESSELS: dict[str, tuple[float, ...]] = {
    "BCC": (0.92, 0.01, 0.03, 0.02, 0.02),
    "NEV": (0.05, 0.60, 0.05, 0.25, 0.05),
    "MEL": (0.05, 0.05, 0.20, 0.65, 0.05),
    "MISC": (0.10, 0.25, 0.20, 0.35, 0.10),
    "SK": (0.05, 0.05, 0.80, 0.05, 0.05),
}
"""P(arborizing, comma, hairpin, within regression, wreath | diagnosis)."""

ELEVATION: dict[str, tuple[float, ...]] = {
    "BCC": (0.08, 0.37, 0.55),
    "NEV": (0.55, 0.38, 0.07),
    "MEL": (0.30, 0.52, 0.18),
    "MISC": (0.45, 0.35, 0.20),
    "SK": (0.05, 0.65, 0.30),
    "dermal nevus": (0.03, 0.27, 0.70),
    "blue nevus": (0.10, 0.65, 0.25),
    "lentigo": (0.95, 0.05, 0.00),
    "melanosis": (0.95, 0.05, 0.00),
    "dermatofibroma": (0.05, 0.65, 0.30),
    "melanoma (in situ)": (0.75, 0.24, 0.01),
    "melanoma (more than 1.5 mm)": (0.02, 0.28, 0.70),
}
"""P(flat, palpable, nodular | diagnosis or raw diagnosis)."""

LOCATION: dict[str, tuple[float, ...]] = {
    "BCC": (0.22, 0.08, 0.06, 0.10, 0.14, 0.40, 0.00, 0.00, 0.00),
    "NEV": (0.36, 0.20, 0.14, 0.10, 0.08, 0.04, 0.04, 0.03, 0.01),
    "MEL": (0.36, 0.24, 0.08, 0.12, 0.09, 0.07, 0.03, 0.01, 0.00),
    "MISC": (0.16, 0.28, 0.10, 0.16, 0.08, 0.12, 0.06, 0.01, 0.03),
    "SK": (0.38, 0.12, 0.12, 0.10, 0.12, 0.14, 0.00, 0.02, 0.00),
}
"""P(location | diagnosis), in the order of METADATA."""

MANAGEMENT: dict[str, tuple[float, ...]] = {
    "BCC": (1.0, 0.0, 0.0),
    "MEL": (1.0, 0.0, 0.0),
    "NEV": (0.45, 0.45, 0.10),
    "MISC": (0.40, 0.25, 0.35),
    "SK": (0.30, 0.05, 0.65),
}
"""P(excision, clinical follow up, no further examination | diagnosis): it leaks the diagnosis, as in reality."""

DIFFICULTY = (0.40, 0.40, 0.20)


def _pick(values: tuple[str, ...], weights: tuple[float, ...], rng: np.random.Generator) -> str:
    """Returns one of `values`."""
    return values[rng.choice(len(values), p=weights)]


def _raw_criterion(case: LabelledCase, task_name: str, rng: np.random.Generator) -> str:
    """Returns a raw string of the case's class; vessels "within regression" only where there is regression."""
    number = case.labels[task_name]
    values = TASK_BY_NAME[task_name].raw_labels[number]
    if len(values) == 1:
        return values[0]
    if (task_name, number) != ("VS", 1):
        return _pick(values, RAW_WEIGHTS[task_name, number], rng)
    weights = np.array(REGULAR_VESSELS[DIAGNOSIS.classes[case.labels["DIAG"]]])
    if not case.labels["RS"]:
        weights[values.index("within regression")] = 0
    return _pick(values, tuple(weights / weights.sum()), rng)


def describe(case: LabelledCase, seed: int) -> dict[str, str]:
    """Returns the columns of meta.csv for a case, all but the two paths, case_id and notes."""
    rng = stream(seed, case.row, "metadata")
    diagnosis = DIAGNOSIS.classes[case.labels["DIAG"]]
    row = {"case_num": str(case.row + 1), "diagnosis": case.raw_diagnosis}
    row["seven_point_score"] = str(seven_point_score(case.labels))
    for task in CRITERIA:
        row[task.column] = _raw_criterion(case, task.name, rng)
    chances = {
        "level_of_diagnostic_difficulty": DIFFICULTY,
        "elevation": ELEVATION.get(case.raw_diagnosis, ELEVATION[diagnosis]),
        "location": LOCATION[diagnosis],
        "sex": (0.5, 0.5),
        "management": MANAGEMENT[diagnosis],
    }
    return row | {column: _pick(METADATA[column], chances[column], rng) for column in chances}
