"""Compares methods: fills the grid, measures, and writes comparison.csv, .md, .html, .json and the figure."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from amfam_tf.card.inputs import inputs_of
from amfam_tf.comparison import files, fill, page
from amfam_tf.comparison.grid import GridFolder, Purpose, common_part, comparison_cells
from amfam_tf.comparison.outcome import REFERENCE, Outcome, collect, measured_cases
from amfam_tf.config import Config
from amfam_tf.data import cases as stored_cases
from amfam_tf.errors import ConfigError, DataError, RunError
from amfam_tf.evaluation.figures.write import FigureFile
from amfam_tf.files import json_file
from amfam_tf.files.writing import write_bytes

KIND = "comparison"


def compare(
    data: Path,
    out: Path,
    config: Config,
    methods: Sequence[str],
    seeds: Sequence[int],
    *,
    split: str,
    console: Console,
    at_once: int = 1,
    metadata: Sequence[str] = (),
    card: Path | None = None,
    by_fold: bool = False,
    also: Sequence[str] = (),
) -> tuple[Outcome, list[Path]]:
    """Fits and evaluates what is missing; returns the outcome and the files written.

    Args:
        data: a data set, or a folder of records.
        out: the folder, new or begun with the same data and configuration.
        config: what all runs have in common; its method and seed do not matter.
        methods: names of the registry.
        seeds: of each method.
        split: to evaluate.
        console: for the progress.
        at_once: runs at the same time.
        metadata: columns; methods that take metadata are fitted with them too, beside without.
        card: file of the data's card, if it does not lie beside them.
        by_fold: fit each method for each fold of the card; what is compared are the predictions of all folds together,
            each case by the run that has not seen it. `split` must be test then.
        also: overrides; each method is fitted once more with each of these texts.

    Raises:
        ConfigError: a method cannot have this configuration, or the card cannot be used, or deals out no folds.
        DataError: the data cannot be used.
        RunError: the folder is for something else, or every run failed.
    """
    cells = comparison_cells(config, methods, seeds, metadata, also=also)
    everything = stored_cases.read(data, card=card)
    folds = everything.folds if by_fold else None
    if folds == 0:
        raise ConfigError(f"--folds: the card {everything.card.name} deals out none (split.assign.folds)")
    if folds is not None:
        cells = comparison_cells(config, methods, seeds, metadata, folds, also)
    for cell in cells:
        inputs_of(everything.card, cell.config.model.metadata)
    if measured_cases(everything, config, split, folds).empty:
        raise DataError(f"{data} has no cases in the split {split}")
    stored_cases.refuse_missing_pictures(everything.used(config.data).cases, data)
    config, fingerprint, folder = common_part(config, method=REFERENCE), everything.fingerprint, GridFolder(out)
    with folder.lock():
        folder.claim(Purpose(KIND, fingerprint, config, card=everything.card))
        failed = fill.fill(folder, cells, data, split, fingerprint, console, at_once, card)
        done = [cell for cell in cells if cell.name not in failed]
        if not done:
            name, error = next(iter(failed.items()))
            raise RunError(f"every run failed; the first one, {name}: {error}")
        failed |= fill.measure(folder, done, console)
        outcome = collect(folder, done, failed, everything, split, config, fingerprint, folds)
        return outcome, write(outcome, out)


def write(outcome: Outcome, out: Path) -> list[Path]:
    """Writes the files of a comparison and returns their paths.

    Raises:
        RunError: a file cannot be written.
    """
    picture: FigureFile = page.forest_picture(outcome)
    contents = {
        "comparison.json": json_file.dumps(files.to_dict(outcome)).encode(),
        "comparison.csv": files.to_csv(outcome).encode(),
        "comparison.md": files.to_markdown_page(outcome).encode(),
        "comparison.html": page.render(outcome, out.resolve().name).encode(),
        "comparison.png": picture.png,
    }
    for name, content in contents.items():
        write_bytes(out / name, content, RunError)
    return [out / name for name in contents]
