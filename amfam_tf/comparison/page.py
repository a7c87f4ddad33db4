"""comparison.html: one file with the whole comparison; no script, no network, the picture inside."""

from typing import Any

from amfam_tf import config as configuration
from amfam_tf.comparison import tables
from amfam_tf.comparison.forest import draw_forest
from amfam_tf.comparison.measures import Measure
from amfam_tf.comparison.outcome import REFERENCE, Outcome, Section
from amfam_tf.comparison.results import GroupResult
from amfam_tf.evaluation import figure_style, titles
from amfam_tf.evaluation.figures.write import FigureFile
from amfam_tf.report import html
from amfam_tf.report.html import Key
from amfam_tf.report.numbers import UNDEFINED, ends, share
from amfam_tf.training.monitor import measure_of


def render(outcome: Outcome, name: str) -> str:
    """Returns the HTML text.

    Args:
        outcome: of the comparison.
        name: to call it by.
    """
    return html.render("amfam_tf.comparison", "comparison.html.j2", _content(outcome, name))


def _content(outcome: Outcome, name: str) -> dict[str, Any]:
    sections: list[dict[str, Any]] = [
        {"title": tables.section_title(section), "text": _about(section), "tables": tables.all_tables(outcome, section)}
        for section in outcome.sections
    ]
    contents = [("summary", "Summary")]
    contents += [(f"section-{place}", section["title"]) for place, section in enumerate(sections, start=1)]
    contents += [("failed", "Failed")] if outcome.failed else []
    return {
        "name": name,
        "what": "comparison",
        "split": outcome.split,
        "subtitle": _subtitle(outcome),
        "contents": [*contents, ("methods", "Methods"), ("configuration", "Configuration")],
        "other_data": None if outcome.comparable or not outcome.has_published else outcome.published_note,
        "failures": tables.failure_table(outcome.failed) if outcome.failed else None,
        "keys": [key for section in outcome.sections for key in summary(section, outcome.measures.headline)],
        "forest": forest_picture(outcome),
        "sections": sections,
        "intervals": tables.intervals_text(outcome.card),
        "chosen_by": measure_of(outcome.card, outcome.config.training.monitor).replace("validation ", ""),
        "fingerprint": outcome.fingerprint,
        "configuration": configuration.dump(outcome.config),
    }


def _subtitle(outcome: Outcome) -> str:
    results = [result for section in outcome.sections for result in section.results]
    runs = sum(len(result.seeds) for result in results)
    found = f"{_number(len(results), 'method')}, {_number(runs, 'run')}"
    return f"{found}, on the {outcome.cases} cases of {outcome.scope}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _about(section: Section) -> str:
    if not section.metadata:
        return ""
    columns = ", ".join(section.metadata)
    return f"These methods know {columns} of each case beside its images: not to be read beside the other sections."


def summary(section: Section, headline: Measure) -> list[Key]:
    """Returns the numbers of a section to read first: AMFAM, and the best of the others by the headline."""
    others = [result for result in section.results if result.name != REFERENCE]
    keys = [
        _key(section, result, "the method of the paper", headline)
        for result in section.results
        if result.name == REFERENCE
    ]
    if others:
        best = max(others, key=lambda result: result.values[headline.name].mean)
        title = "the best of the others" if keys else "the best of these"
        found = best.differences.get(headline.name)
        beside = title if found is None else f"{title}; minus {REFERENCE}: {tables.with_ends(found)}"
        keys.append(_key(section, best, beside, headline))
    return keys


def _key(section: Section, result: GroupResult, beside: str, headline: Measure) -> Key:
    value = result.values[headline.name]
    interval = "" if ends(value.ends) == UNDEFINED else ends(value.ends)
    beside = f"{_number(len(result.seeds), 'seed')}; {beside}"
    known = f" with {', '.join(section.metadata)}" if section.metadata else ""
    title = f"{titles.capital(headline.short)} of {result.name}{known}, {headline.about}"
    return Key(title, share(value.mean), interval, beside)


def forest_picture(outcome: Outcome) -> FigureFile:
    """Returns the figure of the comparison with its words."""
    headline = outcome.measures.headline
    best = [
        f"{result.name} {tables.mean_and_deviation(result.values[headline.name])}"
        for section in outcome.sections
        for result in section.results
    ]
    line = "; line: AMFAM" if any(section.reference for section in outcome.sections) else ""
    return FigureFile(
        name="accuracy" if outcome.has_published else "headline",
        png=figure_style.to_png(draw_forest(outcome)),
        title=f"{titles.capital(headline.short)} of the methods",
        alternative=f"Mean {headline.short} of each method in percent: {'; '.join(best)}.",
        caption=f"Dot: mean over the seeds; bar: its 95 % interval; upright marks: single runs{line}.",
    )
