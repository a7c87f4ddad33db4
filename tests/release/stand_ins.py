"""Quick stand-ins for the four slow parts of a release: ingest, fit, evaluation, and export with serving.

Everything else is the real thing: steps, records, reuse, the rule, Pusher. A stand-in writes files of the real names,
several and in pieces, so that there is something to be killed in the middle of. How good a candidate is comes from the
seed of its training: mean accuracy 0.50 and 0.01 for each.
"""

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from amfam_tf import config as training_configuration
from amfam_tf.export import version_files
from amfam_tf.files import digests
from amfam_tf.release import served
from amfam_tf.release.step import Step
from amfam_tf.tasks import DERM7PT

CONFIG = """
model: {model}
work: {work}
data: {{source: {source}, shards: 1}}
training: {{preset: tiny, overrides: ["seed={seed}"]}}
blessing: {{thresholds: [{{metric: average.accuracy, at_least: {at_least}}}]}}
infra: {{canaries: 2}}
"""


def config_text(folder: Path, source: Path, seed: int = 0, at_least: float = 0.4, more: str = "") -> str:
    """Returns a release's configuration: model and work are in `folder`."""
    places = {"model": folder / "models" / "lesions", "work": folder / "work", "source": source}
    return CONFIG.format(**places, seed=seed, at_least=at_least) + more


def write_pieces(path: Path, text: str) -> None:
    """Writes a file in four pieces, each of them on disk before the next."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = max(1, -(-len(text) // 4))
    for start in range(0, len(text), size):
        with path.open("w" if start == 0 else "a", encoding="utf-8") as file:
            file.write(text[start : start + size])


def ingest(data: Any, records: Path) -> tuple[int, int]:
    """Writes a shard that holds the names and contents of the source's files, and the reports."""
    from amfam_tf.ingest.schema import build_schema, to_text

    files = digests.of_files(Path(data.source))
    write_pieces(records / "cases-00000-of-00001.tfrecord.gz", json.dumps(files, sort_keys=True))
    statistics = {"cases": 12, "splits": {"train": 6, "validate": 3, "test": 3}, "metadata": {}}
    statistics["metadata"] = {name: {} for name in ("level_of_diagnostic_difficulty", "elevation", "location", "sex")}
    statistics["metadata"]["management"] = {"excision": {"train": 6, "validate": 3, "test": 3}}
    write_pieces(records / "statistics.json", json.dumps(statistics))
    write_pieces(records / "statistics.pbtxt", "datasets {}\n")
    write_pieces(records / "schema.pbtxt", to_text(build_schema(DERM7PT)))
    write_pieces(records / "anomalies.json", json.dumps({"anomalies": [], "duplicates": []}))
    return 12, 0


def fit(records: Path, folder: Path, config: Any) -> tuple[int, float]:
    """Writes a run folder; what is there already stays, as that of a fit that goes on."""
    shard = digests.of_file(next(records.glob("*.tfrecord.gz")))
    contents = {
        "config.yaml": training_configuration.dump(config),
        "environment.json": "{}",
        "history.csv": "epoch\n0\n",
        "checkpoints/state.json": "{}",
        "model.keras": f"weights of seed {config.seed} from {shard}",
    }
    for name, content in contents.items():
        path = folder / name
        if not path.exists():
            write_pieces(path.with_name(f".tmp-{path.name}"), content)
            path.with_name(f".tmp-{path.name}").replace(path)
    return 1, accuracy(folder)


def accuracy(folder: Path) -> float:
    """Returns the mean accuracy of a run."""
    return 0.5 + 0.01 * training_configuration.read(folder / "config.yaml").seed


def measure(folder: Path, _: Path, rules: Any, against: served.Served | None) -> tuple[dict[str, Any], Any]:
    """Writes an evaluation; the candidate loses if its accuracy is below that of the served version."""
    mean = accuracy(folder)
    report = {"average": {"accuracy": mean, "accuracy_ci95": [mean - 0.05, mean + 0.05]}}
    out = folder / "evaluation" / rules.split
    write_pieces(folder / "calibration.json", "{}")
    write_pieces(out / "predictions.csv", f"accuracy\n{mean}\n")
    write_pieces(out / "metrics.json", json.dumps(report))
    write_pieces(out / "report.html", "<p>report</p>")
    if against is None:
        return report, None
    other = version_files.read_metadata(against.folder)["metrics"]["average"]["accuracy"]
    row = {"quantity": "accuracy", "variable": "all", "value": "all", "cases": 3, "candidate": mean, "served": other}
    row |= {"difference": mean - other, "p": 0.01, "corrected_p": 0.01, "tested": True, "loss": mean < other}
    return report, [row]


def export(run: Path, base: Path, config: Any) -> None:
    """Writes an exported version around the run's weights."""
    folder = base / "1"
    split = config.blessing.split
    write_pieces(folder / "saved_model.pb", "graph " * 50)
    write_pieces(folder / "variables" / "variables.index", "index " * 5)
    write_pieces(folder / "variables" / "variables.data-00000-of-00001", (run / "model.keras").read_text())
    write_metadata(folder, base.name, json.loads((run / "evaluation" / split / "metrics.json").read_text()))


def write_metadata(folder: Path, name: str, metrics: dict[str, Any]) -> None:
    """Writes metadata.json of an exported version, whose number is its folder's name if that is one."""
    number = int(folder.name) if folder.name.isdecimal() else 1
    content = dict.fromkeys(version_files.KEYS) | {"format": version_files.FORMAT, "name": name, "version": number}
    content |= {"metrics": metrics, "files": version_files.file_digests(folder)}
    write_pieces(folder / version_files.METADATA_FILE, json.dumps(content))


def ask(work: Any, _: Path) -> list[dict[str, Any]]:
    """Returns one right answer, and writes a log."""
    write_pieces(work.out / "server.log", "served\n" * 10)
    return [{"of": "sample of serving_default", "output": "DIAG", "largest": 0.0, "tolerance": 1e-4}]


STAND_INS: dict[str, dict[str, Callable]] = {
    "amfam_tf.release.example_gen": {"_ingest": ingest},
    "amfam_tf.release.trainer": {"_fit": fit},
    "amfam_tf.release.evaluator": {"_measure": measure},
    "amfam_tf.release.infra_validator": {"_export": export, "_ask": ask},
}


def replacements() -> Iterator[tuple[Any, str, Callable]]:
    """Yields module, name and stand-in of everything that is replaced."""
    for module, functions in STAND_INS.items():
        for name, function in functions.items():
            yield importlib.import_module(module), name, function


def install_when_loaded() -> None:
    """Replaces the parts of a step when the step's module is loaded, for a process of its own."""
    load = Step.load

    def load_replaced(step: Step) -> Any:
        module = load(step)
        for name, function in STAND_INS.get(step.module, {}).items():
            setattr(module, name, function)
        return module

    Step.load = load_replaced
