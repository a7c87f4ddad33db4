"""What metrics, targets and scores of a card are called where a person reads of them."""

from collections.abc import Mapping, Sequence

from amfam_tf.card import cards
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import clinical

METRICS: Mapping[str, str] = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "auc": "AUC",
    "f1": "F1",
    "average_precision": "average precision",
}
"""Of a class."""
OVERALL: Mapping[str, str] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "kappa": "kappa",
    "macro_f1": "macro F1",
    "macro_auc": "macro AUC",
    "f1_at_half": "F1 at probability > 0.5",
}
"""Of a task as a whole."""
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def counted(number: int, one: str, several: str) -> str:
    """Returns a number, as a word if it is small, with what is counted."""
    return f"{_NUMBERS[number] if number < len(_NUMBERS) else number} {one if number == 1 else several}"


def of_tasks(card: DataCard) -> str:
    """Returns "the 8 tasks", or "the one task"."""
    return f"the {len(card.tasks)} tasks" if len(card.tasks) > 1 else "the one task"


def other_tasks(card: DataCard) -> tuple[Task, ...]:
    """Returns the tasks beside the main one, in order."""
    return tuple(task for task in card.tasks if task != card.main_task)


def joined(names: Sequence[str], last: str = "and") -> str:
    """Returns names as words, "A, B and C"."""
    *first, end = names
    return f"{', '.join(first)} {last} {end}" if first else end


def target(card: DataCard, name: str) -> str:
    """Returns what to call a target."""
    return card.targets[name].title or name.replace("_", " ")


def none_is(card: DataCard, name: str, every: bool = False) -> str:
    """Returns "no case is a melanoma", of a target of any name "no case is of malignant"; or "every case ..."."""
    return f"{'every' if every else 'no'} case is {'a' if cards.is_derm7pt(card) else 'of'} {target(card, name)}"


def capital(text: str) -> str:
    """Returns a title with a capital at the start, the rest as it is."""
    return text[:1].upper() + text[1:]


def scores(card: DataCard, name: str) -> dict[str, str]:
    """Returns what to call each score that ranks the cases by suspicion of a target, see `clinical.scores_of`."""
    classes = card.targets[name].classes
    titles = {clinical.probability_name(name): f"classifier's probability of {_one_or(classes, target(card, name))}"}
    for score in clinical.suggesting(card, name):
        title = card.score_title(score)
        titles[score] = f"{title}, predicted criteria"
        titles[f"expected_{score}"] = f"expected {title}"
        titles[f"{score}_of_labels"] = f"{title} of the labels"
    return titles


def _one_or(classes: Sequence[str], title: str) -> str:
    return classes[0] if len(classes) == 1 else title


def headline(card: DataCard) -> str:
    """Returns what to call the number by which runs are compared."""
    section, _, rest = card.headline.partition(".")
    metric = rest.rpartition(".")[2]
    title = capital(OVERALL[metric])
    if section == "tasks" or len(card.tasks) == 1:
        return f"{title} of the {card.main_task.title}"
    return f"{title}, average of {of_tasks(card)}"
