"""comparison.json, comparison.csv and comparison.md."""

from typing import Any

from amfam_tf import config as configuration
from amfam_tf.comparison import tables
from amfam_tf.comparison.outcome import Outcome, Section
from amfam_tf.comparison.results import Difference, GroupResult, Value
from amfam_tf.report import csv_text
from amfam_tf.report.markdown import to_markdown
from amfam_tf.report.notice import RESEARCH_ONLY


def to_dict(outcome: Outcome) -> dict[str, Any]:
    """Returns the content of comparison.json; values in [0, 1], times in seconds, NaN where undefined."""
    of_card: dict[str, Any] = {"card": outcome.card.name, "headline": outcome.measures.headline.name}
    of_card |= {} if outcome.folds is None else {"folds": outcome.folds}
    published = {"published": {"comparable": outcome.comparable, "note": outcome.published_note}}
    return {
        "split": outcome.split,
        "cases": outcome.cases,
        **({} if outcome.has_published else of_card),
        **({"labelled": dict(outcome.labelled)} if outcome.labelled else {}),
        "data_fingerprint": outcome.fingerprint,
        "metrics": outcome.measures.titles,
        "intervals": tables.intervals_text(outcome.card),
        **(published if outcome.has_published else {}),
        "sections": [_section_dict(outcome, section) for section in outcome.sections],
        "failed": dict(outcome.failed),
        "configuration": configuration.to_dict(outcome.config),
    }


def _section_dict(outcome: Outcome, section: Section) -> dict[str, Any]:
    methods = {result.name: _method_dict(outcome, section, result) for result in section.results}
    return {"metadata": list(section.metadata), "reference": section.reference, "methods": methods}


def _method_dict(outcome: Outcome, section: Section, result: GroupResult) -> dict[str, Any]:
    metrics = {name: _value_dict(value, result.differences.get(name)) for name, value in result.values.items()}
    for name, content in metrics.items() if outcome.has_published else ():
        content["published"] = _published(section, result.name, name)
    return {"seeds": list(result.seeds), "metrics": metrics, "costs": dict(vars(section.costs[result.name]))}


def _value_dict(value: Value, found: Difference | None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "mean": value.mean,
        "standard_deviation": value.deviation,
        "ci95": [value.low, value.high],
        "by_seed": list(value.by_seed),
    }
    if found is not None:
        ends = [found.low, found.high]
        content["difference"] = {"value": found.value, "ci95": ends, "p": found.p, "p_holm": found.p_holm}
        content["difference"] |= {"note": tables.ABOUT_CASES_ALONE} if found.cases_alone else {}
    return content


def _published(section: Section, method: str, metric: str) -> float | None:
    return section.published.get(method, {}).get(metric)


COST_COLUMNS = ("epoch_seconds", "parameters", "parameters_served", "case_seconds")


def to_csv(outcome: Outcome) -> str:
    """Returns comparison.csv: one row per method and metric, costs included; nothing where undefined."""
    rows: list[dict[str, Any]] = []
    for section in outcome.sections:
        for result in section.results:
            begin: dict[str, Any] = {
                "method": result.name,
                "metadata": " ".join(section.metadata),
                "seeds": len(result.seeds),
            }
            rows += [begin | _csv_values(outcome, section, result, metric) for metric in outcome.measures.by_name]
            costs = vars(section.costs[result.name])
            rows += [begin | {"metric": name, "mean": costs[name]} for name in COST_COLUMNS]
    return csv_text.to_csv(rows)


def _csv_values(outcome: Outcome, section: Section, result: GroupResult, metric: str) -> dict[str, Any]:
    value, found = result.values[metric], result.differences.get(metric)
    nothing = dict.fromkeys(("value", "low", "high", "p", "p_holm"))
    change = nothing if found is None else vars(found)
    published = {
        "published": _published(section, result.name, metric),
        "published_comparable": outcome.comparable,
    }
    return {
        "metric": metric,
        "mean": value.mean,
        "standard_deviation": value.deviation,
        "ci95_low": value.low,
        "ci95_high": value.high,
        "minus_amfam": change["value"],
        "minus_amfam_ci95_low": change["low"],
        "minus_amfam_ci95_high": change["high"],
        "p": change["p"],
        "p_holm": change["p_holm"],
        "note": "" if found is None or not found.cases_alone else tables.CASES_ALONE,
        **(published if outcome.has_published else {}),
    }


def to_markdown_page(outcome: Outcome) -> str:
    """Returns comparison.md."""
    parts = [
        f"# Comparison on {outcome.scope}, {outcome.cases} cases\n",
        f"{RESEARCH_ONLY}\n",
    ]
    for section in outcome.sections:
        parts.append(f"## {tables.section_title(section)}\n")
        parts += [to_markdown(table) for table in tables.all_tables(outcome, section)]
    if outcome.failed:
        parts += ["## Failed\n", to_markdown(tables.failure_table(outcome.failed))]
    return "\n".join(parts)
