"""Where the pictures of the cases of a data set with a card are: every path of every view, found on the disk."""

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from amfam_tf.card.consistency import filled, placeholders
from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.data import names
from amfam_tf.data.paths import PathError, PathResolver
from amfam_tf.data.problems import Problem
from amfam_tf.data.tables import RawTable

Found = dict[str, list[tuple[str, ...]]]
"""By modality, for each case the absolute paths of its pictures; () for none."""
ALL_PICTURES: dict[str, str] = {name: f"{name}_all" for name in MODALITIES}
"""By modality, the column with all pictures of a case; tables of Derm7pt, where each case has one, do without."""


def pictures_of(cases: pd.DataFrame, modality: str) -> pd.Series:
    """Returns the pictures of a view, for each case a tuple of paths."""
    return cases.get(ALL_PICTURES[modality], cases[modality].map(lambda path: (path,)))


class PictureFinder:
    """Finds pictures below the folder that a card names."""

    def __init__(self, card: DataCard, folder: Path, problems: list[Problem]) -> None:
        self._card, self._problems = card, problems
        self.images = folder / card.pictures.folder
        self._resolver = PathResolver(self.images, names.allowed_targets(folder), card.pictures.folder)

    def of_cases(self, cases: RawTable) -> Found:
        """Returns the pictures that columns or templates of the table of cases name."""
        found: Found = {}
        for modality in MODALITIES:
            view = self._card.pictures.view(modality)
            rows = cases.frame.to_dict("records")
            paths = [row.get(view.column) if view.column else _filled(view.path or "", row) for row in rows]
            found[modality] = [self._found(path, cases.file, row) for row, path in enumerate(paths)]
        self._judge_counts(found, cases.file)
        return found

    def of_pictures(self, ids: Sequence[str], file: str, pictures: RawTable) -> Found:
        """Returns the pictures that a table with a row for each of them names; `file` is the table of cases."""
        rule = self._card.pictures
        views = {label: name for name in MODALITIES for label in rule.view(name).values}
        places = {name: place for place, name in enumerate(ids)}
        found: Found = {name: [()] * len(ids) for name in MODALITIES}
        for row, fields in enumerate(pictures.frame.to_dict("records")):
            case, kind = fields.get(self._card.cases.id), fields.get(rule.kind or "")
            if case is None or kind is None or (case == "" and self._card.one_row_per_picture):
                continue  # told where the tables are read
            if kind not in views:
                message = f"column {rule.kind!r}: value {kind!r} is none of: {', '.join(views)}"
                self._problems.append(Problem(pictures.file, row, "unknown_view", message))
            elif case not in places:
                message = f"{self._card.cases.id} {case!r} is no case of {file}: the picture is left out"
                self._problems.append(Problem(pictures.file, row, "picture_of_no_case", message, "note"))
            else:
                path = fields.get(rule.column) if rule.column else _filled(rule.path or "", fields)
                found[views[kind]][places[case]] += self._found(path, pictures.file, row)
        self._judge_counts(found, file)
        return found

    def _found(self, path: str | None, file: str, row: int) -> tuple[str, ...]:
        if not path:
            return ()
        try:
            return tuple(str(self._resolver.resolve(one)) for one in self._spelled_out(path))
        except PathError as error:
            self._problems.append(Problem(file, row, error.kind, f"picture {path!r} {error}"))
            return ()

    def _spelled_out(self, path: str) -> list[str]:
        """Returns the paths that a path with * stands for; one without is itself."""
        # What leaves the folder is refused by the resolver, and not looked for.
        if "*" not in path or path.startswith("/") or ".." in path.split("/"):
            return [path]
        return [one.relative_to(self.images).as_posix() for one in sorted(self.images.glob(path)) if one.is_file()]

    def _judge_counts(self, found: Found, file: str) -> None:
        """Tells cases without a picture, and with several, where the card refuses them."""
        told = {(problem.file, problem.row) for problem in self._problems}
        for modality in MODALITIES:
            view = self._card.pictures.view(modality)
            for row, paths in enumerate(found[modality]):
                if not paths and view.missing == "refused" and (file, row) not in told:
                    message = f"no {modality} picture, and the card does not say that it may be missing"
                    self._problems.append(Problem(file, row, "missing_image", message))
                if len(paths) > 1 and view.several == "refused":
                    message = f"{len(paths)} {modality} pictures, and the card does not say that there may be several"
                    self._problems.append(Problem(file, row, "several_images", message))


def _filled(template: str, fields: Mapping[str, str | None]) -> str:
    """Returns the path of a template; "" if a field that it needs is empty. Only its own * stands for any letters."""
    values = {name: fields.get(name) or "" for name in placeholders(template)}
    if not all(values.values()):
        return ""
    wild = "*" in template
    return filled(template, {name: glob.escape(value) if wild else value for name, value in values.items()})
