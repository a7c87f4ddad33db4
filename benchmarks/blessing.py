"""How often a release refuses a candidate that is equal to the served version, and one that has lost sensitivity.

    python -m benchmarks.blessing [--draws 1000] [--seed 0]

Answers of two trainings to 395 cases are drawn (`benchmarks.drawn_answers`). The candidate is one of them, as it is or
with its logit of melanoma lowered. Each is judged by `amfam_tf.release.losses`, at significance 0.05 with all
subgroups, as Evaluator does. The table is the one of docs/release.md; shares have Clopper and Pearson's intervals.
"""

import argparse
import time

import numpy as np
import pandas as pd

from amfam_tf.evaluation import clinical, proportions
from amfam_tf.evaluation.subgroups import variables
from amfam_tf.release.losses import find_losses
from amfam_tf.tasks import DERM7PT, METADATA
from benchmarks import drawn_answers

LOWERED = (0.0, 1.0, 2.0)
SIGNIFICANCE = 0.05

Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def draw(random: np.random.Generator, lowered: float) -> Tables:
    """Returns the predictions of a candidate and of the served version, and the cases.

    Args:
        random: of all draws.
        lowered: by how much the candidate's logit of melanoma is.
    """
    labels = drawn_answers.labels(random)
    candidate, served = drawn_answers.trainings(random, labels, 2, [{"MEL": lowered}, {}])
    cases = pd.DataFrame({name: random.choice(METADATA[name], len(served)) for name in variables(DERM7PT)})
    return candidate, served, cases.assign(case_num=served["case_num"])


def judged(draws: int, seed: int, lowered: float) -> dict[str, np.ndarray]:
    """Returns for each draw whether the candidate is refused, at all and by each family, and what it has lost.

    Returns:
        refused, whole, subgroups, sensitivity_test (the one of the whole split), 0 or 1, and sensitivity_lost: [draws].
    """
    random, rows = np.random.default_rng(seed), []
    for _ in range(draws):
        candidate, served, cases = draw(random, lowered)
        losses = find_losses(candidate, served, cases, variables(DERM7PT), SIGNIFICANCE, DERM7PT)
        whole = [row for row in losses if row["variable"] == "all"]
        parts = any(row["loss"] for row in losses if row["variable"] != "all")
        (own,) = (row for row in whole if row["quantity"] == "melanoma_sensitivity")
        at_all = any(row["loss"] for row in whole)
        rows.append((at_all or parts, at_all, parts, own["loss"], -own["difference"]))
    names = ("refused", "whole", "subgroups", "sensitivity_test", "sensitivity_lost")
    return dict(zip(names, np.array(rows).T, strict=True))


def table(draws: int, seed: int) -> str:
    """Returns the table, as Markdown."""
    lines = [
        "| candidate | sensitivity lost | refused | on the whole split | in subgroups | by the sensitivity alone |"
    ]
    lines.append("|" + " --- |" * 6)
    for lowered in LOWERED:
        found = judged(draws, seed, lowered)
        cells = [f"logit of melanoma lowered by {lowered:g}" if lowered else "equal"]
        cells.append(f"{100 * found['sensitivity_lost'].mean():.1f} points")
        low, high = proportions.of_cases(found["refused"].astype(bool))
        cells.append(f"{100 * found['refused'].mean():.1f} % ({100 * low:.1f} to {100 * high:.1f})")
        cells += [f"{100 * found[name].mean():.1f} %" for name in ("whole", "subgroups", "sensitivity_test")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Reads the options and prints the table with what the drawn answers are like."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.perf_counter()
    print(table(options.draws, options.seed))
    candidate, served, _ = draw(np.random.default_rng(options.seed), 0.0)
    truth, answers = clinical.has_target(served, DERM7PT), clinical.answers_target(served, DERM7PT)
    print(
        f"\nOne draw: DIAG accuracy {(served['DIAG_pred'] == served['DIAG_true']).mean():.3f}, sensitivity "
        f"{answers[truth].mean():.3f}, specificity {(~answers[~truth]).mean():.3f}; both trainings agree in "
        f"{(candidate['DIAG_pred'] == served['DIAG_pred']).mean():.3f} of the diagnoses. {options.draws} draws, seed "
        f"{options.seed}, {time.perf_counter() - began:.0f} s."
    )


if __name__ == "__main__":
    main()
