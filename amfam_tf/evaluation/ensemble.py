"""Makes a run folder of finished runs: one network that answers with the mean of what they answer."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amfam_tf import environment
from amfam_tf.card import cards
from amfam_tf.config import Config
from amfam_tf.errors import DataError, RunError
from amfam_tf.evaluation.run import read_for
from amfam_tf.files.digests import file_digest
from amfam_tf.files.writing import writing
from amfam_tf.models.ensemble import Ensemble
from amfam_tf.models.lesion_model import LesionModel
from amfam_tf.models.registry import ENSEMBLE
from amfam_tf.runs import members
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.runs.folder import RunFolder, RunState
from amfam_tf.runs.members import Member

if TYPE_CHECKING:
    from amfam_tf.data.cases import DataSet

SAME = ("image_size", "border_crop", "max_pixels", "several_pictures", "drop_shared_files")
"""Of `data`: what makes the network's pictures, which all members are given alike, and which cases there are."""


def make_ensemble(
    out: Path, runs: Sequence[Path], data: Path | None = None, card: Path | None = None
) -> tuple[FinishedRun, list[FinishedRun], "DataSet | None"]:
    """Writes a run folder whose network is the mean of finished runs; one that is there already is left as it is.

    Args:
        out: the folder, new or made of the same runs.
        runs: at least one, with the same questions, metadata and pictures; seeds, folds and methods may differ.
        data: that they were trained on; needed if they left out different folds.
        card: file of the data's card, if it does not lie beside them.

    Returns:
        The run, its members, and the data as it uses them; None if none are given.

    Raises:
        RunError: a run cannot be used or does not go with the first one, or the folder holds something else.
        DataError: the data cannot be used, or are not those of the runs.
        ConfigError: the card cannot be used.
    """
    parts = open_members(runs)
    found, fingerprint = None, parts[0].data_fingerprint
    if data is not None:
        found, fingerprint = _same_data(parts, data, card)
    elif len(_folds(parts)) > 1:
        raise RunError(
            "the runs left out different folds: name their data, --data DATA, to see that they are of one set"
        )
    folder = RunFolder(out)
    with folder.lock():
        _check_free(folder, parts)
        if not folder.read_state().finished:
            _write(folder, parts, fingerprint, found)
    made = FinishedRun.open(out)
    return made, parts, None if found is None else found.used(made.config.data)


def open_members(runs: Sequence[Path]) -> list[FinishedRun]:
    """Returns finished runs that can be members of one ensemble.

    Raises:
        RunError: one of them cannot be used, or does not go with the first one.
    """
    places = [run.resolve() for run in runs]
    twice = next((run for run in runs if places.count(run.resolve()) > 1), None)
    if twice is not None:
        raise RunError(f"{twice} is named twice: an ensemble takes each run once")
    parts = [FinishedRun.open(run) for run in runs]
    for part in parts:
        if part.members:
            raise RunError(f"{part.path} is an ensemble itself: name its members instead")
        if part.state.diverged is not None:
            raise RunError(f"run {part.path} has ended early ({part.state.diverged}): leave it out")
        if not isinstance(part.network, LesionModel):
            kind = type(part.network).__name__
            raise RunError(f"{part.folder.model_file} holds no network of this package but a {kind}")
        for difference in _differences(parts[0], part):
            raise RunError(f"{part.path} does not go with {parts[0].path}: {difference}")
    if None in _folds(parts) and len(_folds(parts)) > 1:
        raise RunError("some of the runs left out a fold and some did not: an ensemble takes the one or the other")
    return parts


def _folds(parts: Sequence[FinishedRun]) -> set[int | None]:
    return {part.config.data.fold for part in parts}


def _differences(first: FinishedRun, other: FinishedRun) -> Iterator[str]:
    """Yields in what two runs differ and must not."""
    if not cards.same_questions(first.card, other.card):
        yield f"the tasks or classes of {other.card.name} are not those of {first.card.name}"
    for name in SAME:
        one, two = (getattr(run.config.data, name) for run in (first, other))
        if one != two:
            yield f"data.{name} is {two} and not {one}"
    if first.config.model.average_flips != other.config.model.average_flips:
        yield "one answers with the mean over flips (model.average_flips) and the other does not"
    one, two = (", ".join(column.name for column in run.network.metadata) or "none" for run in (first, other))
    if first.network.metadata != other.network.metadata:
        yield f"it takes the metadata {two} and not {one}" + (", or other values of them" if one == two else "")
    same_fold = first.config.data.fold == other.config.data.fold
    if same_fold and first.data_fingerprint != other.data_fingerprint:
        yield "it was trained on other data"


def _same_data(parts: Sequence[FinishedRun], data: Path, card: Path | None) -> tuple["DataSet", str]:
    """Returns the data set and its fingerprint as the ensemble has it, if all members were trained on it."""
    from amfam_tf.data.cases import fingerprints, refuse_missing_pictures

    found = read_for(parts[0], data, card)
    configs = [_common(parts).data, *(part.config.data for part in parts)]
    frames = [found.used(one).cases for one in configs]
    refuse_missing_pictures(frames[0], data)
    own, *others = fingerprints(frames, found.card)
    for part, fingerprint in zip(parts, others, strict=True):
        if part.data_fingerprint != fingerprint:
            raise DataError(f"{data}: these are not the data that {part.path} was trained on")
    return found, own


def _common(parts: Sequence[FinishedRun]) -> Config:
    """Returns the configuration of the ensemble: that of the first member, without a fold if they left out several."""
    config, folds = parts[0].config, _folds(parts)
    fold = config.data.fold if len(folds) == 1 else None
    return dataclasses.replace(config, method=ENSEMBLE, data=dataclasses.replace(config.data, fold=fold))


def describe_members(parts: Sequence[FinishedRun]) -> list[Member]:
    """Returns what an ensemble says of its members."""
    return [
        Member(
            part.path.resolve().name,
            part.config.method,
            part.config.seed,
            part.config.data.fold,
            part.model_sha256,
            part.data_fingerprint,
        )
        for part in parts
    ]


def _check_free(folder: RunFolder, parts: Sequence[FinishedRun]) -> None:
    if folder.config_file.exists():
        known = members.read(folder.read_environment())
        if [one.model_sha256 for one in known] != [part.model_sha256 for part in parts]:
            raise RunError(f"{folder.path} holds another run: name another folder")
        return
    own = {folder.checkpoints.name, folder.environment_file.name, folder.card_file.name}
    foreign = sorted(item.name for item in folder.path.iterdir() if not item.name.startswith("."))
    if not own.issuperset(foreign):
        raise RunError(f"{folder.path} is not empty (it holds {min(set(foreign) - own)}): name another folder")


def _write(folder: RunFolder, parts: Sequence[FinishedRun], fingerprint: str | None, found: "DataSet | None") -> None:
    network, config = Ensemble.of([part.network for part in parts]), _common(parts)
    config = dataclasses.replace(config, model=network.model_config)
    counts = parts[0].environment.get("data_counts")
    if found is not None:
        counts = found.used(config.data).cases["split"].value_counts().to_dict()
    described = {"seed": config.seed, "data_fingerprint": fingerprint, "data_counts": counts}
    listed = [dataclasses.asdict(one) for one in describe_members(parts)]
    folder.begin(config, {**environment.describe(), **described, members.KEY: listed}, parts[0].card)
    with writing(folder.model_file, RunError) as partial:
        network.save(partial)
    folder.write_state(RunState(finished=True, model_sha256=file_digest(folder.model_file)))
