"""What the sections of a card say of each other: names that are not there, twins, choices of which one is needed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from string import Formatter

from amfam_tf.card.schema import MODALITIES, OVERALL_METRICS, DataCard, PictureRule, SplitRule, TaskEntry

_MADE_OF_PICTURES = (f"{name}{kind}" for name in MODALITIES for kind in ("", "_map", "_image"))
_OF_ANSWERS = ("model", "version", "model_version", "error")
_OF_CASES = ("case_num", "case_id", "notes", "split", "shared_file", "shard", "record")
TAKEN = frozenset({*_OF_CASES, *_OF_ANSWERS, *_MADE_OF_PICTURES})
"""Names that columns and tensors have beside those of a card."""


def problems(card: DataCard) -> list[str]:
    """Returns what is wrong, "place: what", in the order of the file."""
    classes = {entry.name: _class_names(entry) for entry in card.questions}
    found = [*_pictures(card.pictures), *_split(card.split, classes)]
    if card.one_row_per_picture and card.split.index_files is not None:
        found.append("split.index_files: counts rows of cases, and the table has a row for each picture")
    for number, entry in enumerate(card.questions):
        found += [f"tasks[{number}]{text}" for text in _task(entry)]
    found += _names(card)
    for name, target in card.targets.items():
        found += _classes_of(f"targets.{name}.classes", target.task, target.classes, classes)
    for name, score in card.scores.items():
        for task, points in score.points.items():
            found += _classes_of(f"scores.{name}.points.{task}", task, points, classes)
        if score.suggests is not None and score.suggests not in card.targets:
            found.append(f"scores.{name}.suggests: there is no target {score.suggests!r}; {_known(card.targets)}")
    found += [text for name in card.metadata for text in _metadata(card, name, classes)]
    metric = card.headline.rpartition(".")[2]
    if metric not in OVERALL_METRICS:
        found.append(f"headline: there is no metric {metric!r}; {_known(OVERALL_METRICS)}")
    if card.headline.startswith("tasks."):
        found += _task_known("headline", card.headline.split(".")[1], classes)
    if card.submission is not None:
        found += _task_known("submission.task", card.submission.task, classes)
    return found


def placeholders(template: str) -> list[str]:
    """Returns the columns that a template of paths names.

    Raises:
        ValueError: it is none.
    """
    fields = [(field, spec, conversion) for _, field, spec, conversion in Formatter().parse(template)]
    found = [field for field, _, _ in fields if field is not None]
    if any(spec or conversion for _, spec, conversion in fields) or "" in found:
        raise ValueError("only {COLUMN} may stand in braces")
    return found


def path_columns(column: str | None, template: str | None) -> list[str]:
    """Returns the columns that a path comes from: a column with it, or those of a template."""
    return [column] if column else placeholders(template or "")


def filled(template: str, values: Mapping[str, str], letters: str = "*") -> str:
    """Returns the path of a template: `values` for its columns, `letters` for each of its own *."""
    parts = Formatter().parse(template)
    return "".join(text.replace("*", letters) + ("" if name is None else values[name]) for text, name, _, _ in parts)


def _class_names(entry: TaskEntry) -> tuple[str, ...]:
    return tuple(one.name for one in entry.classes) or entry.one_hot


def _one_of(place: str, chosen: Mapping[str, object]) -> list[str]:
    given = [name for name, value in chosen.items() if value]
    if len(given) == 1:
        return []
    got = " and ".join(given) if given else "none"
    return [f"{place}: exactly one of {', '.join(chosen)} is needed; there is {got}"]


def _pictures(pictures: PictureRule) -> Iterator[str]:
    if pictures.table is not None:
        yield from _one_of("pictures", {"path": pictures.path, "column": pictures.column})
        if pictures.kind is None:
            yield "pictures.kind: is needed with a table of pictures"
    for key in ("kind", "column", "path"):
        if pictures.table is None and getattr(pictures, key) is not None:
            yield f"pictures.{key}: belongs to a table of pictures, and there is no pictures.table"
    for modality in MODALITIES:
        view, place = pictures.view(modality), f"pictures.{modality}"
        if pictures.table is None:
            yield from _one_of(place, {"column": view.column, "path": view.path})
            if view.values:
                yield f"{place}.values: belongs to a table of pictures, and there is no pictures.table"
        elif not view.values or view.column is not None or view.path is not None:
            yield f"{place}: with a table of pictures it has values (of pictures.kind), and no column or path"
        yield from _template(f"{place}.path", view.path)
    both = set(pictures.clinical.values) & set(pictures.dermoscopic.values)
    if both:
        yield f"pictures: {sorted(both)[0]!r} stands for both views"
    yield from _template("pictures.path", pictures.path)


def _template(place: str, template: str | None) -> Iterator[str]:
    # pathlib refuses it before Python 3.13; as a name of its own it is folders of any depth.
    if any("**" in part and part != "**" for part in (template or "").split("/")):
        yield f"{place}: ** cannot be part of a name, * stands for any letters. Received: {template!r}"
    try:
        if template is not None and not placeholders(template):
            yield f"{place}: names no {{COLUMN}}, so that all cases have the same picture"
    except ValueError as error:
        yield f"{place}: {error}. Received: {template!r}"


def _split(split: SplitRule, classes: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    rules = {"index_files": split.index_files, "column": split.column, "assign": split.assign}
    yield from _one_of("split", rules)
    if split.column is not None:
        labels = Counter([*split.column.train, *split.column.validate_, *split.column.test])
        yield from (f"split.column: {name!r} stands for several splits" for name, n in labels.items() if n > 1)
    if split.assign is not None:
        total = split.assign.train + split.assign.validate_ + split.assign.test
        if abs(total - 1.0) > 1e-6:
            yield f"split.assign: the shares must add up to 1. Received: {total:g}"
        if split.assign.stratify is not None:
            yield from _task_known("split.assign.stratify", split.assign.stratify, classes)


def _task(entry: TaskEntry) -> Iterator[str]:
    yield from _one_of("", {"column": entry.column, "one_hot": entry.one_hot})
    names = _class_names(entry)
    if len(names) < 2:
        yield f": task {entry.name} needs at least two classes"
    yield from (f": class {name} of task {entry.name} stands {n} times" for name, n in Counter(names).items() if n > 1)
    if entry.one_hot:
        if len(names) != len(entry.one_hot):
            yield f": task {entry.name} has {len(entry.one_hot)} columns and {len(names)} classes"
        if any(one.labels for one in entry.classes):
            yield f": task {entry.name} has a column for each class, so that classes have no labels"
        return
    labels = Counter([label for one in entry.classes for label in one.labels or (one.name,)] + list(entry.missing))
    yield from (f": label {label!r} of task {entry.name} stands {n} times" for label, n in labels.items() if n > 1)


def _names(card: DataCard) -> Iterator[str]:
    """Tells names that one file or answer would have twice."""
    tasks = Counter(entry.name for entry in card.questions)
    yield from (f"tasks: {name} stands {count} times" for name, count in tasks.items() if count > 1)
    everything = [*tasks, *(f"{name}_probability" for name in card.targets), *card.scores, *card.metadata]
    for name, count in Counter(everything).items():
        if name in TAKEN or count > 1:
            yield f"{name!r} cannot be the name of a task, target, score or metadata column: it is taken"


def _classes_of(place: str, task: str, named: Iterable[str], classes: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    yield from _task_known(place, task, classes)
    for name in named:
        if task in classes and name not in classes[task]:
            yield f"{place}: task {task} has no class {name!r}; {_known(classes[task])}"


def _task_known(place: str, task: str, classes: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    if task not in classes:
        yield f"{place}: there is no task {task!r}; {_known(classes)}"


def _metadata(card: DataCard, name: str, classes: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    column, place = card.metadata[name], f"metadata.{name}"
    yield from _one_of(place, {"values": column.values, "range": column.range is not None})
    labels = Counter([raw for group in column.raw_values.values() for raw in group] + list(column.missing))
    yield from (f"{place}: value {raw!r} stands {count} times" for raw, count in labels.items() if count > 1)
    if column.range is not None and not column.range[0] < column.range[1]:
        yield f"{place}.range: the lower end must be below the upper. Received: {list(column.range)}"
    if column.follows_from is not None:
        yield from _task_known(f"{place}.follows_from", column.follows_from, classes)


def _known(names: Iterable[str]) -> str:
    return f"known here: {', '.join(names) or 'none'}"
