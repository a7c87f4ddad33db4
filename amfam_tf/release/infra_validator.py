"""InfraValidator: exports the blessed run, starts the server on it, asks it over gRPC and compares every answer.

- The version's own sample requests, all four signatures: the answers have to be the stored ones.
- Canaries, cases of the evaluated split: the answers have to be those that Evaluator has measured.

A version that passes is, file for file, what Pusher publishes.

out/candidate/<model>/1/   the candidate as exported
out/server.log             what the server printed
out/answers.json           largest difference per output, seconds
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from amfam_tf.errors import DataError, QueryError
from amfam_tf.evaluation import report_json
from amfam_tf.release import evaluator
from amfam_tf.release.configuration import ReleaseConfig
from amfam_tf.release.example_gen import RECORDS
from amfam_tf.release.step import Outcome, Work
from amfam_tf.tasks import TASKS

CANDIDATE = "candidate"
VERSION = 1
LOG_FILE, ANSWERS_FILE = "server.log", "answers.json"
COUNTED = (f"{CANDIDATE}/*",)
RESUMABLE = False


def configuration(config: ReleaseConfig) -> dict[str, Any]:
    """Returns what decides."""
    return {"infra": config.infra, "split": config.blessing.split, "model": model_name(config)}


def outside(_: ReleaseConfig, __: Mapping[str, Path]) -> dict[str, str]:
    """Nothing is read beside the inputs."""
    return {}


def model_name(config: ReleaseConfig) -> str:
    """Returns the name that the model is served by."""
    return Path(config.model).resolve().name


def candidate_folder(out: Path, config: ReleaseConfig) -> Path:
    """Returns the folder of the exported version in a result of this step."""
    return out / CANDIDATE / model_name(config) / str(VERSION)


def run(work: Work) -> Outcome:
    """Exports, serves, asks, compares."""
    from amfam_tf.serving.export import export_run

    base = candidate_folder(work.out, work.config).parent
    export_run(work.inputs["Evaluator"] / evaluator.RUN, base, precision=work.config.infra.precision)
    (base / ".export.lock").unlink()
    began = time.monotonic()
    try:
        differences = _ask(work, base)
    except (QueryError, DataError) as error:
        return Outcome(f"not served: {error}", accepted=False, details={"reason": str(error)})
    wrong = [row for row in differences if not row["largest"] <= row["tolerance"]]
    seconds = round(time.monotonic() - began, 1)
    report_json.write(work.out / ANSWERS_FILE, {"seconds": seconds, "differences": differences, "wrong": wrong})
    details = {"seconds": seconds, "answers": len(differences), "wrong": wrong}
    if wrong:
        first = wrong[0]
        reason = f"{first['of']}, {first['output']} differs by up to {first['largest']:.3g}"
        return Outcome(f"served answers are not the stored ones: {reason}", accepted=False, details=details)
    return Outcome(
        f"served: samples of every signature and {work.config.infra.canaries} canaries answered as stored",
        details=details,
    )


def _ask(work: Work, base: Path) -> list[dict[str, Any]]:
    """Returns of, output, largest (difference) and tolerance of everything that the server was asked."""
    from amfam_tf.serving import child
    from amfam_tf.serving.transport import Connection

    port = child.free_port()
    words = ["serve", "--model-name", base.name, "--model-base-path", str(base), "--port", str(port)]
    words += ["--bind-address", child.LOCALHOST, "--file-system-poll-wait-seconds", "0"]
    patience = work.config.infra.patience_seconds
    connection = Connection(f"{child.LOCALHOST}:{port}", base.name, VERSION, timeout=patience)
    with child.serving(words, port, work.out / LOG_FILE, patience):
        return [*_ask_samples(connection, base / str(VERSION), work), *_ask_canaries(connection, work)]


def _ask_samples(connection: Any, folder: Path, work: Work) -> list[dict[str, Any]]:
    """Returns a row per signature and output of the version's sample requests."""
    import tensorflow as tf

    from amfam_tf.serving import samples, wire
    from amfam_tf.serving.transport import GrpcTransport

    rows = []
    transport = GrpcTransport(connection)
    try:
        for request, response in samples.read_samples(folder):
            found, _ = transport.send(wire.PredictRequest.FromString(request.SerializeToString()))
            stored = {name: tf.make_ndarray(value) for name, value in response.outputs.items()}
            rows += _compare(f"sample of {request.model_spec.signature_name}", found, stored, work)
    finally:
        transport.close()
    return rows


def _ask_canaries(connection: Any, work: Work) -> list[dict[str, Any]]:
    """Returns a row per canary and task; the canaries are spread evenly over the split."""
    from amfam_tf.data import records
    from amfam_tf.evaluation import predictions
    from amfam_tf.evaluation.run import PREDICTIONS_FILE, folder_of
    from amfam_tf.serving.client import Client, Pair

    split = work.config.blessing.split
    cases = records.read_records(work.inputs["ExampleGen"] / RECORDS)
    cases = cases[cases["split"] == split].reset_index(drop=True)
    places = np.unique(np.linspace(0, len(cases) - 1, work.config.infra.canaries).round().astype(int))
    cases = cases.iloc[places].reset_index(drop=True)
    folder = folder_of(work.inputs["Evaluator"] / evaluator.RUN, split)
    measured = predictions.read(folder / PREDICTIONS_FILE).set_index(predictions.CASE)
    pairs = (Pair(pair["clinical"], pair["dermoscopic"]) for pair in records.encoded_pairs(cases).as_numpy_iterator())
    rows = []
    with Client(connection) as client:
        for case, answer in zip(cases[predictions.CASE], client.predict_many(pairs), strict=True):
            found = {name: np.array(values) for name, values in answer.probabilities.items()}
            stored = {
                task.name: measured.loc[case, predictions.probability_columns(task)].to_numpy(np.float64)
                for task in TASKS
            }
            rows += _compare(f"case {case}", found, stored, work)
    return rows


def _compare(
    of: str, found: Mapping[str, np.ndarray], stored: Mapping[str, np.ndarray], work: Work
) -> Iterator[dict[str, Any]]:
    from amfam_tf.serving import verify

    for name, values in stored.items():
        yield {
            "of": of,
            "output": name,
            "largest": verify.largest_difference(found[name], values) if name in found else float("inf"),
            "tolerance": verify.tolerance(name, work.config.infra.precision),
        }
