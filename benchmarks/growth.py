"""Time and peak memory of check, fit's input, evaluate and report as the number of cases grows.

    python -m benchmarks.growth --folder FOLDER [--sizes 1000,10000,100000] [--plot docs/images/growth.png]

Each part runs in a process of its own, timed without its imports; memory is the most that it ever held (VmHWM), the
imports included. The data sets are made of drawn cases, repeated: every picture is a file of its own with bytes of its
own, every case has its own number. `evaluate` measures drawn predictions of all cases, because what the network takes
per case does not depend on their number. A folder of a size is removed when its parts are done.
"""

import argparse
import csv
import json
import pickle
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import turns, wire

DRAWN_CASES, PICTURE_SIZE = 100, (128, 96)
PARTS = ("check", "input, no cache", "input, file cache", "evaluate", "report")
SIZES = (1000, 10_000, 100_000)
INDEX_FILES = {"train": "train_indexes.csv", "validate": "valid_indexes.csv", "test": "test_indexes.csv"}


def make_data_set(drawn: Path, out: Path, cases: int) -> None:
    """Writes a data set of `cases` cases that repeats a drawn one.

    Args:
        drawn: a data set.
        out: new folder.
        cases: a multiple of the drawn ones.
    """
    with (drawn / "meta/meta.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if cases % len(rows):
        raise ValueError(f"cases must be a multiple of {len(rows)}. Received: {cases}")
    copies = cases // len(rows)
    (out / "meta").mkdir(parents=True)
    with (out / "meta/meta.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for copy in range(copies):
            writer.writerows(_copied(row, copy, copy * len(rows) + place) for place, row in enumerate(rows))
    for name in INDEX_FILES.values():
        indexes = [int(line) for line in (drawn / "meta" / name).read_text().split()[1:]]
        lines = [str(copy * len(rows) + index) for copy in range(copies) for index in indexes]
        (out / "meta" / name).write_text("\n".join(["indexes", *lines]) + "\n", encoding="utf-8")
    _copy_pictures(rows, drawn / "images", out / "images", copies)


def _copied(row: Mapping[str, str], copy: int, place: int) -> dict[str, str]:
    paths = {column: f"{copy}/{row[column]}" for column in ("clinic", "derm")}
    return {**row, **paths, "case_num": str(place + 1), "case_id": f"{row['case_id']}-{copy}"}


def _copy_pictures(rows: Sequence[Mapping[str, str]], source: Path, target: Path, copies: int) -> None:
    paths = sorted({row[column] for row in rows for column in ("clinic", "derm")})
    contents = {path: (source / path).read_bytes() for path in paths}
    for copy in range(copies):
        for folder in {Path(path).parent for path in paths}:
            (target / str(copy) / folder).mkdir(parents=True)
        for path, content in contents.items():
            # Behind the end of the picture: no decoder sees it, and no two files are the same.
            (target / str(copy) / path).write_bytes(content + f"{copy}".encode())


def draw_predictions(cases: Any, card: Any, seed: int = 0) -> Any:
    """Returns a predictions table of cases: drawn probabilities that favour the label, no two alike."""
    from amfam_tf.evaluation import predictions
    from amfam_tf.evaluation.predict import probabilities_of

    random = np.random.default_rng(seed)
    labels = {task.name: cases[task.name].to_numpy() for task in card.tasks}
    logits = {
        task.name: random.normal(size=(len(cases), len(task.classes)))
        + 1.5 * np.eye(len(task.classes))[labels[task.name]]
        for task in card.tasks
    }
    probabilities = {name: probabilities_of(values) for name, values in logits.items()}
    return predictions.to_frame(cases["case_num"].to_numpy(), labels, probabilities, card)


def _check(data: Path, _: Path) -> Callable[[], object]:
    from amfam_tf.data.check import check_data_set

    def run() -> None:
        report = check_data_set(data)
        if not report.ok:
            raise ValueError(f"{data}: {report.problems[0]}")

    return run


def _input(data: Path, scratch: Path, cache: str) -> Callable[[], object]:
    from amfam_tf import config as configuration
    from amfam_tf.data import cases as stored_cases
    from amfam_tf.data import pipeline

    overrides = (f"data.cache={cache}", f"data.cache_directory={scratch / 'cache'}", "training.epochs=1")
    config = configuration.load("tiny", overrides)

    def run() -> None:
        found = stored_cases.read(data)
        found.fingerprint  # noqa: B018  (digests every picture)
        training = found.cases[found.cases["split"] == "train"].reset_index(drop=True)
        seen = sum(len(batch["case_num"]) for batch in pipeline.training_dataset(training, config, found.card))
        if seen != len(training):
            raise ValueError(f"{seen} cases came, {len(training)} are in the split")

    return run


def _evaluate(data: Path, scratch: Path) -> Callable[[], object]:
    from amfam_tf.data.cases import read
    from amfam_tf.evaluation import paper, predictions, report
    from amfam_tf.files import json_file

    found = read(data)
    cases, card = found.cases, found.card
    table = draw_predictions(cases, card)

    def run() -> None:
        content = report.build_report(table, "test", cases=cases, training=cases[cases["split"] == "train"], card=card)
        content["published"] = paper.published_part("amfam", cases, "test")
        predictions.write(table, scratch / "predictions.csv", card=card)
        json_file.write(scratch / "metrics.json", content)
        (scratch / "report.pickle").write_bytes(pickle.dumps(content))

    return run


def _report(data: Path, scratch: Path) -> Callable[[], object]:
    from amfam_tf import config as configuration
    from amfam_tf.data.cases import read
    from amfam_tf.evaluation import html_report
    from amfam_tf.evaluation.figures import write
    from amfam_tf.evaluation.run import Evaluation

    found = read(data)
    cases, card = found.cases, found.card
    content = pickle.loads((scratch / "report.pickle").read_bytes())  # noqa: S301  (written by _evaluate)
    config = configuration.load("tiny", ())
    evaluation = Evaluation(scratch, "test", cases, cases, config, draw_predictions(cases, card), content, (), card)

    def run() -> None:
        pictures = write.draw_all(evaluation.table, evaluation.report, evaluation.cases, card=card)
        (scratch / "report.html").write_text(html_report.render(evaluation, pictures), encoding="utf-8")

    return run


STARTERS: Mapping[str, Callable[[Path, Path], Callable[[], object]]] = {
    "check": _check,
    "input, no cache": lambda data, scratch: _input(data, scratch, "none"),
    "input, file cache": lambda data, scratch: _input(data, scratch, "file"),
    "evaluate": _evaluate,
    "report": _report,
}


def measure_here(part: str, data: Path, scratch: Path) -> dict[str, float]:
    """Returns wall and processor seconds of a part and the peak memory of this process, GiB."""
    run = STARTERS[part](data, scratch)
    started, processor = time.perf_counter(), time.process_time()
    run()
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    return {"seconds": seconds, "processor": processor, "memory": wire.peak_memory_gib()}


def measure(part: str, data: Path, scratch: Path) -> dict[str, float]:
    """As `measure_here`, in a process of its own."""
    return wire.measured_apart("benchmarks.growth", "--part", part, "--data", data, "--folder", scratch)


def slope(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Returns the exponent of growth: the slope of a line through the logarithms; 1 is linear, 0 is constant."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def rows_of(results: Mapping[int, Mapping[str, Mapping[str, float]]]) -> list[list[str]]:
    """Returns the rows of the printed table, one per part."""
    rows = []
    for part in PARTS:
        found = {size: parts[part] for size, parts in results.items() if part in parts}
        for key, unit, digits in (("seconds", "s", 1), ("processor", "s of processor", 1), ("memory", "GiB", 2)):
            values = {size: one[key] for size, one in found.items()}
            cells = [f"{values[size]:.{digits}f}" if size in values else "not measured" for size in results]
            exponents = [
                f"{round(slope(pair, [values[size] for size in pair]), 2) + 0.0:.2f}"
                for pair in zip(list(found)[:-1], list(found)[1:], strict=True)
            ]
            rows.append([part, unit, *cells, ", ".join(exponents)])
    return rows


def draw(results: Mapping[int, Mapping[str, Mapping[str, float]]], path: Path) -> None:
    """Draws processor time and memory against the number of cases, both logarithmic."""
    from amfam_tf.evaluation import figure_style as style

    with style.style():
        figure = style.new_figure(7.2, 3.2)
        time_axes, memory_axes = figure.subplots(1, 2)
        titles = {time_axes: ("processor", "processor time, s"), memory_axes: ("memory", "peak memory, GiB")}
        for axes, (key, label) in titles.items():
            for part, colour, line in zip(PARTS, style.CLASS_COLOURS, style.CLASS_LINES, strict=True):
                points = [(size, parts[part][key]) for size, parts in results.items() if part in parts]
                axes.plot(
                    *zip(*points, strict=True), color=colour, linestyle=line, marker="o", markersize=4, label=part
                )
            axes.set(xscale="log", xlabel="cases", ylabel=label)
        time_axes.set_yscale("log")
        memory_axes.set_ylim(bottom=0)
        sizes = np.array(sorted(results))
        least = min(parts[part]["processor"] for parts in results.values() for part in parts)
        time_axes.plot(sizes, least / 2 * sizes / sizes[0], color=style.GREY, linewidth=0.8, label="linear")
        time_axes.legend()
        style.write_png(figure, path)


def run_all(folder: Path, sizes: Sequence[int], parts: Sequence[str]) -> dict[int, dict[str, dict[str, float]]]:
    """Returns what each part took at each size; prints it as it comes."""
    from amfam_tf.data import synthetic

    folder.mkdir(parents=True, exist_ok=True)
    drawn = folder / "drawn"
    synthetic.write_data_set(drawn, DRAWN_CASES, seed=0, size=PICTURE_SIZE)
    results: dict[int, dict[str, dict[str, float]]] = {}
    for size in sizes:
        data, scratch = folder / f"release-{size}", folder / f"scratch-{size}"
        make_data_set(drawn, data, size)
        scratch.mkdir()
        results[size] = {}
        for part in parts:
            results[size][part] = measure(part, data, scratch)
            print(size, part, json.dumps(results[size][part]), turns.load(), file=sys.stderr, flush=True)
        shutil.rmtree(data)
        shutil.rmtree(scratch)
    shutil.rmtree(drawn)
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the benchmark, or with --part one part of it in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the data sets, some GB at 100,000 cases")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help=f"multiples of {DRAWN_CASES}, ascending")
    parser.add_argument("--parts", default=";".join(PARTS), help="with semicolons between them; report needs evaluate")
    parser.add_argument("--plot", type=Path, help="PNG file to draw")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.part:
        print(json.dumps(measure_here(options.part, options.data, options.folder)))
        return
    sizes = [int(size) for size in options.sizes.split(",")]
    results = run_all(options.folder, sizes, options.parts.split(";"))
    print(turns.machine())
    print(turns.table(["part", "unit", *(f"{size:,} cases" for size in sizes), "exponents"], rows_of(results)))
    if options.plot:
        draw(results, options.plot)


if __name__ == "__main__":
    main()
