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
from amfam_tf.files import json_file, publish
from amfam_tf.release.configuration import ReleaseConfig
from amfam_tf.release.layout import CANDIDATE, CANDIDATE_VERSION, RECORDS, RUN, candidate_folder, model_name
from amfam_tf.release.step import StepOutcome, Work
from amfam_tf.tasks import TASKS

LOG_FILE, ANSWERS_FILE = "server.log", "answers.json"
COUNTED = (f"{CANDIDATE}/*",)
RESUMABLE = False


def configuration(config: ReleaseConfig) -> dict[str, Any]:
    """Returns what decides."""
    return {"infra": config.infra, "split": config.blessing.split, "model": model_name(config)}


def outside(_: ReleaseConfig, __: Mapping[str, Path]) -> dict[str, str]:
    """Nothing is read beside the inputs."""
    return {}


def run(work: Work) -> StepOutcome:
    """Exports, serves, asks, compares."""
    base = candidate_folder(work.out, work.config).parent
    _export(work.inputs["Evaluator"] / RUN, base, work.config)
    began = time.monotonic()
    try:
        answers = _ask(work, base)
    except (QueryError, DataError) as error:
        return StepOutcome(f"not served: {error}", accepted=False, details={"reason": str(error)})
    wrong = [row for row in answers if not row["largest"] <= row["tolerance"]]
    details = {"seconds": round(time.monotonic() - began, 1), "answers": len(answers), "wrong": wrong}
    json_file.write(work.out / ANSWERS_FILE, details | {"answers": answers})
    if wrong:
        reason = _describe_wrong(wrong)
        return StepOutcome(f"served answers are not the stored ones: {reason}", accepted=False, details=details)
    asked = f"samples of every signature and {work.config.infra.canaries} canaries"
    return StepOutcome(f"served: {asked} answered as stored", details=details)


def _describe_wrong(wrong: list[dict[str, Any]]) -> str:
    """Returns what is wrong first; answers that are no finite numbers come before those that differ."""
    broken = [row for row in wrong if np.isnan(row["largest"])]
    if broken:
        outputs = ", ".join(dict.fromkeys(row["output"] for row in broken))
        return f"{broken[0]['of']}: the answers of {outputs} are no finite numbers"
    return f"{wrong[0]['of']}: {wrong[0]['output']} differs by up to {wrong[0]['largest']:.3g}"


def _export(run_folder: Path, base: Path, config: ReleaseConfig) -> None:
    from amfam_tf.export.export import export_run

    export_run(run_folder, base, precision=config.infra.precision)
    (base / publish.LOCK).unlink()


def _ask(work: Work, base: Path) -> list[dict[str, Any]]:
    """Returns of, output, largest (difference) and tolerance of everything that the server was asked."""
    from amfam_tf.client import child
    from amfam_tf.client.transport import Connection

    port = child.free_port()
    words = ["serve", "--model-name", base.name, "--model-base-path", str(base), "--port", str(port)]
    patience = work.config.infra.patience_seconds
    words += ["--bind-address", child.LOCALHOST, "--file-system-poll-wait-seconds", "0"]
    words += ["--load-timeout-seconds", str(patience)]
    connection = Connection(f"{child.LOCALHOST}:{port}", base.name, CANDIDATE_VERSION, timeout=patience)
    with child.serving(words, port, work.out / LOG_FILE, patience):
        return [*_ask_samples(connection, base / str(CANDIDATE_VERSION), work), *_ask_canaries(connection, work)]


def _ask_samples(connection: Any, folder: Path, work: Work) -> list[dict[str, Any]]:
    """Returns a row per signature and output of the version's sample requests."""
    import tensorflow as tf

    from amfam_tf.client import wire
    from amfam_tf.client.transport import GrpcTransport
    from amfam_tf.export import samples

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
    from amfam_tf.client.client import Client, Pair
    from amfam_tf.data import records
    from amfam_tf.evaluation import predictions
    from amfam_tf.evaluation.run import PREDICTIONS_FILE, folder_of

    split = work.config.blessing.split
    cases = records.read_records(work.inputs["ExampleGen"] / RECORDS)
    cases = cases[cases["split"] == split].reset_index(drop=True)
    places = np.unique(np.linspace(0, len(cases) - 1, work.config.infra.canaries).round().astype(int))
    cases = cases.iloc[places].reset_index(drop=True)
    folder = folder_of(work.inputs["Evaluator"] / RUN, split)
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
    from amfam_tf.export import verify

    def _difference(answer: np.ndarray, values: np.ndarray) -> float:
        """Returns NaN for an answer that is no finite number, whatever is stored."""
        broken = not np.isfinite(np.asarray(answer, np.float64)).all()
        return float("nan") if broken else verify.largest_difference(answer, values)

    for name, values in stored.items():
        yield {
            "of": of,
            "output": name,
            "largest": _difference(found[name], values) if name in found else float("inf"),
            "tolerance": verify.tolerance(name, work.config.infra.precision),
        }
