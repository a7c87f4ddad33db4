"""How often the 95 % intervals of metrics.json hold the true value, beside the methods that are usual.

    python -m benchmarks.coverage [--draws 500] [--seed 0]

Three tables, those of docs/evaluation.md. Of a share of cases the coverage is computed and not drawn. Areas under the
ROC curve are of scores drawn from several distributions whose area is known. All other metrics are of whole predictions
tables (`benchmarks.drawn_answers`), cases drawn plainly; their true value is that of 40,000 cases. A draw in which a
metric is undefined does not count, nor one without two melanomas and two others where an interval is missing; a missing
interval counts as a miss otherwise.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binom, logistic, norm

from amfam_tf.evaluation import clinical, delong, intervals, metrics, proportions
from amfam_tf.evaluation.proportions import NORMAL, Interval
from amfam_tf.report import rates
from amfam_tf.tasks import DERM7PT
from benchmarks import drawn_answers

CASES, SHARES = (5, 8, 16, 50, 101, 395), (0.5, 0.8, 0.9, 0.98)
POSITIVES, AREAS, ALL = (5, 10, 16, 19, 101), (0.6, 0.75, 0.9, 0.98), 395
RESAMPLES = 200
TRUTH = 40_000

Scores = tuple[np.ndarray, np.ndarray, float]
"""Of the positives, of the negatives, and the true area."""


def share_coverage(share: float, cases: int, interval: Callable[[int, int], Interval]) -> float:
    """Returns how often the interval of a share of cases holds it, exactly."""
    ends = [interval(successes, cases) for successes in range(cases + 1)]
    holds = [low <= share <= high for low, high in ends]
    return float(binom.pmf(np.arange(cases + 1), cases, share)[holds].sum())


def percentile_of_share(successes: int, cases: int) -> Interval:
    """Returns the interval of infinitely many resamples of the cases."""
    low, high = binom.ppf([proportions.TAIL, 1 - proportions.TAIL], cases, successes / cases) / cases
    return float(low), float(high)


def share_table() -> str:
    """Returns the first table."""
    methods = {"exact": proportions.exact, "Wilson": intervals.wilson, "bootstrap": percentile_of_share}
    lines = [_line("cases", *(f"{name}, least of true shares" for name in methods)), _line(*["---"] * 4)]
    for cases in CASES:
        least = [min(share_coverage(share, cases, method) for share in SHARES) for method in methods.values()]
        lines.append(_line(cases, *(f"{100 * one:.1f}" for one in least)))
    return "\n".join(lines)


def normal(random: np.random.Generator, positives: int, area: float, spread: float = 1.0) -> Scores:
    """Returns normal scores; those of the positives have this standard deviation."""
    shift = np.hypot(1, spread) * norm.ppf(area)
    return random.normal(shift, spread, positives), random.normal(size=ALL - positives), area


def wide(random: np.random.Generator, positives: int, area: float) -> Scores:
    """Returns normal scores, twice as wide of the positives."""
    return normal(random, positives, area, 2.0)


def exponential(random: np.random.Generator, positives: int, area: float) -> Scores:
    """Returns exponential scores."""
    return random.exponential(area / (1 - area), positives), random.exponential(size=ALL - positives), area


def ties(random: np.random.Generator, positives: int, area: float) -> Scores:
    """Returns normal scores rounded to whole numbers, with the area that they then have."""
    of_positives, of_negatives, _ = normal(random, positives, area)
    places = np.arange(-20, 21)
    given = [np.diff(norm.cdf(np.append(places, 21) - 0.5 - shift)) for shift in (np.sqrt(2) * norm.ppf(area), 0)]
    exact = float(given[0] @ (np.cumsum(given[1]) - given[1] / 2))
    return np.round(of_positives), np.round(of_negatives), exact


def mixture(random: np.random.Generator, positives: int, area: float) -> Scores:
    """Returns scores of positives of which some stand out altogether and the others not at all."""
    found = random.normal(size=positives)
    return found + 20 * (random.random(positives) < 2 * area - 1), random.normal(size=ALL - positives), area


KINDS: Sequence[Callable[[np.random.Generator, int, float], Scores]] = (normal, wide, exponential, ties, mixture)


def logit_delong(truth: np.ndarray, scores: np.ndarray) -> Interval:
    """Returns DeLong's interval on the scale of logits; none where his variance is 0."""
    parts = delong.placements(truth, scores)
    area, (variance, _) = float(parts[0].mean()), delong.variance_of(parts, truth)
    if not 0 < area < 1 or variance == 0:
        return proportions.NONE
    half = NORMAL * np.sqrt(variance) / (area * (1 - area))
    low, high = logistic.cdf(np.log(area / (1 - area)) + np.array([-half, half]))
    return float(low), float(high)


def percentile_of_area(truth: np.ndarray, scores: np.ndarray) -> Interval:
    """Returns the percentile interval of resamples of the cases."""
    drawn = intervals.replicates_of(
        lambda counts: {"auc": rates.weighted_auc(truth, scores, counts)}, len(truth), RESAMPLES
    )
    return intervals.percentile_interval(drawn["auc"])


AREA_METHODS: Mapping[str, Callable[[np.ndarray, np.ndarray], Interval]] = {
    "metrics.json": delong.interval,
    "logit DeLong": logit_delong,
    "bootstrap": percentile_of_area,
}


def area_coverage(
    positives: int, area: float, kind: Callable[..., Scores], method: Callable[..., Interval], draws: int, seed: int
) -> float:
    """Returns how often the interval of an area holds it; one that is missing does not."""
    random, truth, holds = np.random.default_rng(seed), np.arange(ALL) < positives, []
    for _ in range(draws):
        of_positives, of_negatives, exact = kind(random, positives, area)
        low, high = method(truth, np.concatenate([of_positives, of_negatives]))
        holds.append(low <= exact <= high)
    return float(np.mean(holds))


def area_table(draws: int, seed: int) -> str:
    """Returns the second table: the least over the distributions, and of normal scores alone."""
    headings = [
        "positives",
        "area",
        "metrics.json, least of all distributions",
        *(f"normal: {name}" for name in AREA_METHODS),
    ]
    lines = [_line(*headings), _line(*["---"] * len(headings))]
    for positives in POSITIVES:
        for area in AREAS:
            least = min(area_coverage(positives, area, kind, delong.interval, draws, seed) for kind in KINDS)
            of_normal = [
                area_coverage(positives, area, normal, method, draws, seed) for method in AREA_METHODS.values()
            ]
            lines.append(_line(positives, area, *(f"{100 * one:.1f}" for one in (least, *of_normal))))
    return "\n".join(lines)


SCENES: Mapping[str, tuple[int, float, Sequence[int]]] = {
    "395 cases, as Derm7pt": (395, drawn_answers.SKILL, drawn_answers.DIAGNOSES),
    "395 cases, 5 melanomas": (395, drawn_answers.SKILL, (16, 315, 5, 40, 19)),
    "395 cases, 5 melanomas, nearly all right": (395, 5.0, (16, 315, 5, 40, 19)),
    "40 cases": (40, drawn_answers.SKILL, (4, 18, 10, 4, 4)),
    "10 cases, nearly all right": (10, 5.0, (4, 18, 10, 4, 4)),
}
"""Cases, logit of the label, prevalences of the diagnoses."""
PLACES: Mapping[str, metrics.Path] = {
    "accuracy, mean of the tasks": ("average", "accuracy"),
    "macro AUC, mean of the tasks": ("average", "macro", "auc"),
    "DIAG accuracy": ("tasks", "DIAG", "accuracy"),
    "DIAG balanced accuracy": ("tasks", "DIAG", "balanced_accuracy"),
    "DIAG kappa": ("tasks", "DIAG", "kappa"),
    **{f"MEL {name.replace('_', ' ')}": ("tasks", "DIAG", "classes", "MEL", name) for name in metrics.CLASS_METRICS},
}
POINTS = ("MEL sensitivity at 90 % specificity", "MEL specificity at 80 % sensitivity")
"""By the probability of melanoma."""


def draw(random: np.random.Generator, cases: int, skill: float, diagnoses: Sequence[int]) -> pd.DataFrame:
    """Returns the predictions table of so many cases, drawn whatever they are."""
    labels = drawn_answers.labels(random, cases, diagnoses)
    return drawn_answers.trainings(random, labels, 1, (), skill, diagnoses)[0]


def values_of(table: pd.DataFrame) -> dict[str, float]:
    """Returns the metrics of a table by name."""
    found = metrics.measure_of(table, DERM7PT)(np.ones((1, len(table))))
    values = {name: float(found[path][0]) for name, path in PLACES.items()}
    points = _points(clinical.has_target(table, DERM7PT), clinical.target_probability(table, DERM7PT))
    return values | {name: float(one[0]) for name, one in points(np.ones((1, len(table)))).items()}


def _points(truth: np.ndarray, scores: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    def measure(counts: np.ndarray) -> dict[str, np.ndarray]:
        return {
            POINTS[0]: clinical.sensitivity_at(truth, scores, 0.9, counts),
            POINTS[1]: clinical.specificity_at(truth, scores, 0.8, counts),
        }

    return measure


def ends_of(table: pd.DataFrame) -> dict[str, tuple[Interval, Interval]]:
    """Returns the interval of each metric of a table as metrics.json has it, and that of percentiles."""
    drawn, report = intervals.bootstrap(table, RESAMPLES, card=DERM7PT), metrics.all_metrics(table, DERM7PT)
    intervals.add_intervals(report, table, drawn, DERM7PT)
    found = {}
    for name, path in PLACES.items():
        node: Any = report
        for key in path[:-1]:
            node = node[key]
        found[name] = tuple(node[f"{path[-1]}_ci95"]), intervals.percentile_interval(drawn[path])
    truth, scores = clinical.has_target(table, DERM7PT), clinical.target_probability(table, DERM7PT)
    percentiles = intervals.replicates_of(_points(truth, scores), len(truth), RESAMPLES)
    own = clinical.target_report(table, RESAMPLES, card=DERM7PT)["scores"]["melanoma_probability"]
    ours = (own["sensitivity_at_specificity"][1], own["specificity_at_sensitivity"][0])
    for name, point in zip(POINTS, ours, strict=True):
        found[name] = tuple(point["ci95"]), intervals.percentile_interval(percentiles[name])
    return found


def scene_coverage(
    cases: int, skill: float, diagnoses: Sequence[int], draws: int, seed: int
) -> dict[str, tuple[float, float]]:
    """Returns how often the intervals of metrics.json, and percentiles, hold each metric where it is defined."""
    random = np.random.default_rng(seed)
    truth = values_of(draw(random, TRUTH, skill, diagnoses))
    holds: dict[str, list[tuple[bool, ...]]] = {name: [] for name in truth}
    for _ in range(draws):
        table = draw(random, cases, skill, diagnoses)
        values = values_of(table)
        for name, both in ends_of(table).items():
            if not np.isnan(values[name]) and not (np.isnan(both[0][0]) and _is_too_rare(table)):
                holds[name].append(tuple(low <= truth[name] <= high for low, high in both))
    return {name: tuple(np.mean(found, axis=0)) if found else (np.nan, np.nan) for name, found in holds.items()}


def _is_too_rare(table: pd.DataFrame) -> bool:
    """Says whether there are not two melanomas and two others: no interval of an area or a threshold is promised."""
    truth = clinical.has_target(table, DERM7PT)
    return bool(min(truth.sum(), (~truth).sum()) < delong.FEWEST)


def scene_table(draws: int, seed: int) -> str:
    """Returns the third table: of each scene, metrics.json and in brackets percentiles."""
    found = [scene_coverage(*scene, draws, seed) for scene in SCENES.values()]
    lines = [_line("metric", *SCENES), _line(*["---"] * (len(SCENES) + 1))]
    for name in found[0]:
        pairs = [one[name] for one in found]
        lines.append(_line(name, *(f"{100 * ours:.1f} ({100 * other:.1f})" for ours, other in pairs)))
    return "\n".join(lines)


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Reads the options and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.perf_counter()
    print(share_table(), area_table(options.draws, options.seed), scene_table(options.draws, options.seed), sep="\n\n")
    print(f"\n{options.draws} draws, seed {options.seed}, {time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main()
