"""Scores and survivors as Markdown."""

from collections.abc import Sequence

from mutation.by_hand import Mutant
from mutation.session import Score


def by_hand(count: int, survivors: Sequence[Mutant]) -> str:
    """Returns a line on the mutants of by_hand.toml, and a list of those that survived."""
    lines = [f"By hand: {count - len(survivors)} of {count} killed.", ""]
    lines += [f"- {one.file}: {one.why}" for one in survivors]
    return "\n".join([*lines, ""] if survivors else lines) + "\n"


def markdown(scores: Sequence[Score]) -> str:
    """Returns a table of the rooms and one of all survivors."""
    lines = ["| room | mutants | tried | killed | score |", "| --- | --: | --: | --: | --: |"]
    lines += [
        f"| {one.room} | {one.mutants} | {one.tried} | {one.killed} | {_percent(one.killed, one.tried)} |"
        for one in scores
    ]
    tried, killed = sum(one.tried for one in scores), sum(one.killed for one in scores)
    lines.append(f"| all | {sum(one.mutants for one in scores)} | {tried} | {killed} | {_percent(killed, tried)} |")
    survivors = [survivor for one in scores for survivor in one.survivors]
    if survivors:
        lines += ["", "| survivor | change |", "| --- | --- |"]
        lines += [f"| {one.place}, {one.operator} | `{one.change.replace('|', chr(92) + '|')}` |" for one in survivors]
    return "\n".join(lines) + "\n"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"
