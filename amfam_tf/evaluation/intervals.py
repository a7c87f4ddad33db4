"""95 % intervals."""

from scipy.stats import binomtest


def wilson(successes: int, cases: int, confidence: float = 0.95) -> tuple[float, float]:
    """Returns Wilson's interval of a proportion, in [0, 1]."""
    interval = binomtest(successes, cases).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)
