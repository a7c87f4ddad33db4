"""The server under test, a process of its own, and the folder of versions that it looks at."""

import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from amfam_tf import child_process
from benchmarks.soak.records import Log, Sample
from benchmarks.soak.traffic import CHANNEL, LOCALHOST, MODEL, Target

START_SECONDS = 300
LOOK_SECONDS = 0.2
AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE


@dataclass
class Versions:
    """The base path: versions are published by a rename, and the oldest are removed.

    Attributes:
        base: the folder.
        models: version folders to copy, by letter.
        letters: which letter each number has; never forgotten.
    """

    base: Path
    models: dict[str, Path]
    letters: dict[int, str] = field(default_factory=dict)

    def publish(self, letter: str) -> int:
        """Publishes a model under the next number; returns it.

        Raises:
            OSError: it cannot be written; nothing that a server could see is left.
        """
        number = max(self.letters, default=0) + 1
        partial = self.base / f".partial-{number}"
        try:
            shutil.copytree(self.models[letter], partial)
            self.letters[number] = letter
            partial.rename(self.base / str(number))
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return number

    def publish_broken(self) -> int:
        """Publishes half a graph; returns its number."""
        number = self.publish("A")
        broken = self.base / str(number)
        graph = (broken / "saved_model.pb").read_bytes()
        (broken / "saved_model.pb").write_bytes(graph[: len(graph) // 2])
        return number

    def remove_all_but(self, numbers: set[int]) -> None:
        """Removes the other versions."""
        for path in self.base.iterdir():
            if path.name.isdecimal() and int(path.name) not in numbers:
                shutil.rmtree(path)


@dataclass
class ServedProcess:
    """`amfam-tf serve`, begun again after each kill."""

    target: Target
    base: Path
    output: Path
    log: Log
    life: int = -1
    process: subprocess.Popen | None = None

    def start(self) -> None:
        """Starts the server and returns when its latest version answers.

        Raises:
            RuntimeError: it ended or did not answer.
        """
        monitoring = self.output.parent / "monitoring.config"
        monitoring.write_text("prometheus_config { enable: true }\n")
        flags = [f"--port={self.target.port}", f"--rest-api-port={self.target.rest_port}", f"--model-name={MODEL}"]
        flags += [f"--model-base-path={self.base}", "--bind-address=127.0.0.1", "--drain-seconds=10"]
        flags += ["--enable-batching", f"--monitoring-config-file={monitoring}"]
        # That of the life before says nothing of this one.
        self._allocated.unlink(missing_ok=True)
        with self.output.open("ab") as file:
            words = [str(self._allocated), "serve", *flags]
            self.process = child_process.start("benchmarks.soak.watched", words, stdout=file, stderr=file)
        end = time.monotonic() + START_SECONDS
        while not self.available():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server does not answer (status {self.process.poll()}): see {self.output}")
            time.sleep(LOOK_SECONDS)
        self.life += 1

    def available(self) -> set[int]:
        """Returns the versions that answer, none if the server does not."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = MODEL
        with grpc.insecure_channel(f"{LOCALHOST}:{self.target.port}", CHANNEL) as channel:
            try:
                response = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=30)
            except grpc.RpcError:
                return set()
        return {status.version for status in response.model_version_status if status.state == AVAILABLE}

    def restart(self, number: int) -> int:
        """Ends the server by a signal and starts it again; returns its exit status."""
        self.log.down()
        self.process.send_signal(number)
        status = self.process.wait(60)
        child_process.close_lifeline(self.process)
        self.start()
        self.log.up()
        return status

    def end(self) -> int:
        """Ends the server politely; returns its exit status."""
        self.log.down()
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            child_process.close_lifeline(self.process)

    def sample(self) -> Sample | None:
        """Returns what the process holds now; None between two lives."""
        try:
            process = psutil.Process(self.process.pid)
            with process.oneshot():
                megabytes = process.memory_info().rss / 1e6
                counts = process.num_fds(), process.num_threads()
        except psutil.Error:
            return None
        return Sample(self.log.now(), self.life, megabytes, *counts, self._allocated_megabytes())

    @property
    def _allocated(self) -> Path:
        return self.output.with_name("allocated")

    def _allocated_megabytes(self) -> float | None:
        text = self._allocated.read_text(encoding="ascii") if self._allocated.exists() else ""
        return int(text) / 1e6 if text else None
