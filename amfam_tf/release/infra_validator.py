"""InfraValidator: exports the blessed run, starts a server on it, asks it over gRPC and compares every answer.

The server is the embedded one, or the real TensorFlow Serving (`infra.engine`); the record says which it was.

- The version's own sample requests, all signatures: the answers have to be the stored ones.
- Canaries, cases of the evaluated split: the answers have to be those that Evaluator has measured.

A version that passes is, file for file, what Pusher publishes.

out/candidate/<model>/1/   the candidate as exported
out/server.log             what the server printed
out/answers.json           largest difference per output, seconds
"""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from amfam_tf.errors import DataError, QueryError
from amfam_tf.files import digests, json_file, publish
from amfam_tf.release.configuration import ReleaseConfig
from amfam_tf.release.layout import CANDIDATE, CANDIDATE_VERSION, RECORDS, RUN, candidate_folder, model_name
from amfam_tf.release.step import StepOutcome, Work

LOG_FILE, ANSWERS_FILE = "server.log", "answers.json"
COUNTED = (f"{CANDIDATE}/*",)
RESUMABLE = False
EMBEDDED = "embedded"
MOST_ATTEMPTS = 1000
"""The port of a container answers before its server does; `infra.patience_seconds` ends the attempts."""


def configuration(config: ReleaseConfig) -> dict[str, Any]:
    """Returns what is exported, under which name, and how it is tried."""
    return {"infra": config.infra, "split": config.blessing.split, "model": model_name(config)}


def outside(config: ReleaseConfig, _: Mapping[str, Path]) -> dict[str, str]:
    """Returns what tells one real server from another: the fingerprint of its binary, or the name of its image.

    Raises:
        RealServerError: see `describe_server`.
    """
    return {} if config.infra.engine == EMBEDDED else {"server": _identify_real_server()[1]}


def describe_server(config: ReleaseConfig) -> str:
    """Returns which server the candidate is tried on.

    Raises:
        RealServerError: the real one is wanted, and neither its binary nor a container engine is on PATH.
    """
    return "the embedded server" if config.infra.engine == EMBEDDED else _identify_real_server()[0]


def _identify_real_server() -> tuple[str, str]:
    """Returns what to call the real server, and what tells it from another one."""
    from amfam_tf.server import real_server

    program = Path(real_server.find_program(instead="infra.engine: embedded"))
    if program.name == real_server.BINARY:
        return f"TensorFlow Serving ({program.name})", digests.of_file(program)
    return f"TensorFlow Serving ({real_server.IMAGE} by {program.name})", real_server.IMAGE


def run(work: Work) -> StepOutcome:
    """Exports the candidate, serves it, and accepts it if the answers are those of Evaluator."""
    server = describe_server(work.config)
    base = candidate_folder(work.out, work.config).parent
    _export(work.inputs["Evaluator"] / RUN, base, work.config)
    began = time.monotonic()
    try:
        answers = _ask(work, base)
    except (QueryError, DataError) as error:
        told = {"server": server, "reason": str(error)}
        return StepOutcome(f"not served by {server}: {error}", accepted=False, details=told)
    wrong = [row for row in answers if not row["largest"] <= row["tolerance"]]
    details = {"server": server, "seconds": round(time.monotonic() - began, 1), "answers": len(answers), "wrong": wrong}
    json_file.write(work.out / ANSWERS_FILE, details | {"answers": answers})
    if wrong:
        reason = _describe_wrong(wrong)
        return StepOutcome(f"answers of {server} are not the stored ones: {reason}", accepted=False, details=details)
    asked = f"samples of every signature and {work.config.infra.canaries} canaries"
    return StepOutcome(f"served by {server}: {asked} answered as stored", details=details)


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

    port, patience = child.free_port(), work.config.infra.patience_seconds
    connection = Connection(f"{child.LOCALHOST}:{port}", base.name, CANDIDATE_VERSION, timeout=patience)
    if work.config.infra.engine != EMBEDDED:
        connection = dataclasses.replace(connection, attempts=MOST_ATTEMPTS)
    words = _serve_words(work.config, base, port)
    with child.serving(words, port, work.out / LOG_FILE, patience):
        return [*_ask_samples(connection, base / str(CANDIDATE_VERSION), work), *_ask_canaries(connection, work)]


def _serve_words(config: ReleaseConfig, base: Path, port: int) -> list[str]:
    """Returns the command line that serves the candidate, after `amfam-tf`."""
    from amfam_tf.client.child import LOCALHOST

    words = ["serve", "--engine", config.infra.engine, "--model-name", base.name, "--model-base-path", str(base)]
    words += ["--port", str(port), "--file-system-poll-wait-seconds", "0"]
    if config.infra.engine == EMBEDDED:
        words += ["--bind-address", LOCALHOST, "--load-timeout-seconds", str(config.infra.patience_seconds)]
    return words


def _ask_samples(connection: Any, folder: Path, work: Work) -> list[dict[str, Any]]:
    """Returns a row per signature and output of the version's sample requests."""
    import tensorflow as tf

    from amfam_tf.client import wire
    from amfam_tf.client.transport import GrpcTransport
    from amfam_tf.export import samples

    rows: list[dict[str, Any]] = []
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
    """Returns a row per canary and task; the canaries are spread evenly over the split's cases of one pair."""
    from amfam_tf.client.client import Client, Pair
    from amfam_tf.data import records, several
    from amfam_tf.data.shards import read_card
    from amfam_tf.evaluation import predictions
    from amfam_tf.runs.folder import PREDICTIONS_FILE, RunFolder

    split = work.config.blessing.split
    card = read_card(work.inputs["ExampleGen"] / RECORDS)
    cases = records.read_records(work.inputs["ExampleGen"] / RECORDS)
    # Evaluator has measured means of several pairs.
    cases = cases[(cases["split"] == split) & several.has_one_pair(cases)].reset_index(drop=True)
    if cases.empty:
        return []
    places = np.unique(np.linspace(0, len(cases) - 1, work.config.infra.canaries).round().astype(int))
    cases = cases.iloc[places].reset_index(drop=True)
    folder = RunFolder(work.inputs["Evaluator"] / RUN).evaluation(split)
    measured = predictions.read(folder / PREDICTIONS_FILE, card=card).set_index(predictions.CASE)
    pictures = records.encoded_pairs(cases).as_numpy_iterator()
    rows: list[dict[str, Any]] = []
    with Client(connection) as client:
        columns = list(client.card().metadata)
        pairs = (
            Pair(pair["clinical"], pair["dermoscopic"], metadata={name: cases[name].iat[row] for name in columns})
            for row, pair in enumerate(pictures)
        )
        for case, answer in zip(cases[predictions.CASE], client.predict_many(pairs), strict=True):
            found = {name: np.array(values) for name, values in answer.probabilities.items()}
            stored = {
                task.name: measured.loc[case, predictions.probability_columns(task)].to_numpy(np.float64)
                for task in card.tasks
            }
            rows += _compare(f"case {case}", found, stored, work)
    return rows


def _compare(
    of: str, found: Mapping[str, np.ndarray], stored: Mapping[str, np.ndarray], work: Work
) -> Iterator[dict[str, Any]]:
    from amfam_tf.export import verify

    def _difference(answer: np.ndarray, values: np.ndarray) -> float:
        """Returns NaN for an answer that is no finite number, whatever is stored."""
        broken = answer.dtype != object and not np.isfinite(np.asarray(answer, np.float64)).all()
        return float("nan") if broken else verify.largest_difference(answer, values)

    for name, values in stored.items():
        yield {
            "of": of,
            "output": name,
            "largest": _difference(found[name], values) if name in found else float("inf"),
            "tolerance": verify.tolerance(name, work.config.infra.precision),
        }
