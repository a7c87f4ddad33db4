"""Runs an Apache Beam pipeline: on this machine, quietly and in any number of processes, or on the engine of --runner.

Needs the extra `beam`. Without `--runner` it is Beam's own embedded runner, one process or `--direct_num_workers` of
them (0: one per core). Beam's DirectRunner is not asked: it first looks on the network for another program to run on.
"""

import contextlib
import io
import logging
import re
import shlex
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from amfam_tf import child_process, errors
from amfam_tf.beam.workers import CLOSED, DEAD, WORKER, watched_workers
from amfam_tf.environment import usable_cores
from amfam_tf.errors import ConfigError, EngineError

MISSING = "this needs Apache Beam: pip install amfam-tf[beam]"
LONGEST_MESSAGE = 300
_OWN_ERROR = re.compile(r"^amfam_tf\.errors\.(\w+Error): (.*?)(?: \[while running .*)?$", re.MULTILINE)
"""How a traceback ends."""
_WHERE = re.compile(r"\s*\[while running .*", re.DOTALL)
"""What Beam adds to the message of a step's error."""


def find_beam() -> ModuleType:
    """Returns apache_beam.

    Raises:
        EngineError: it is not installed; names the extra.
    """
    try:
        with quiet(), warnings.catch_warnings():
            # Of packages beside Beam that it can do without.
            warnings.simplefilter("ignore")
            import apache_beam
    except ImportError as error:
        raise EngineError(MISSING) from error
    return apache_beam


def run_pipeline(build: Callable[[Any], object], arguments: Sequence[str] = ()) -> Any:
    """Builds a pipeline, runs it to its end, and returns Beam's result.

    Args:
        build: adds the steps to a `beam.Pipeline`.
        arguments: Beam's options, e.g. "--direct_num_workers=2" or "--runner=FlinkRunner".

    Raises:
        UserError: of any class, if a step raised one: the same message.
        ConfigError: an option that cannot be.
        EngineError: the pipeline failed otherwise, or Beam is not installed.
    """
    beam = find_beam()
    options = _options(arguments)
    with quiet(), tempfile.TemporaryDirectory() as folder:
        deaths: list[str] = []
        try:
            with watched_workers(Path(folder), deaths):
                pipeline = beam.Pipeline(runner=_embedded_runner(options), options=options)
                build(pipeline)
                result = pipeline.run()
                result.wait_until_finish()
        except Exception as error:
            raise _describe(error, deaths) from error
    return result


def tell_stores(arguments: Sequence[str]) -> None:
    """Hands Beam's options to its filesystems, as a pipeline does when it is made: s3:// and hdfs:// open without none.

    Raises:
        ConfigError: an option that cannot be.
        EngineError: Beam is not installed.
    """
    find_beam()
    from apache_beam.io.filesystems import FileSystems

    FileSystems.set_options(_options(arguments))


def worker_count(arguments: Sequence[str]) -> int | None:
    """Returns how many processes of this machine share the work; None if `--runner` names another engine.

    Raises:
        ConfigError: an option that cannot be.
        EngineError: Beam is not installed.
    """
    find_beam()
    return _embedded_workers(_options(arguments))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps Beam's log to itself: what fails comes as an exception."""
    beam, root = logging.getLogger("apache_beam"), logging.getLogger()
    level = beam.level
    beam.setLevel(logging.CRITICAL)
    root.addFilter(_is_not_beam)  # some of its modules log as the root
    try:
        yield
    finally:
        root.removeFilter(_is_not_beam)
        beam.setLevel(level)


def _is_not_beam(record: logging.LogRecord) -> bool:
    return "apache_beam" not in Path(record.pathname).parts


def _options(arguments: Sequence[str]) -> Any:
    """Returns Beam's options; what the embedded runner does not know is refused, another engine may know it."""
    from apache_beam.options.pipeline_options import PipelineOptions

    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output), quiet():
            options = PipelineOptions(list(arguments))
            known = options.get_all_options()
            everything = options.get_all_options(retain_unknown_options=True)
    except SystemExit as error:  # argparse's way to refuse
        lines = output.getvalue().strip().splitlines()
        raise ConfigError(f"Beam's options: {lines[-1].partition('error: ')[2] if lines else error}") from error
    unknown = sorted(everything.keys() - known.keys()) if known["runner"] is None else []
    unknown += [word for word in arguments[:1] if not word.startswith("-")]
    if unknown:
        raise ConfigError(f"Beam's options: there is none named {unknown[0]!r}")
    return options


def _embedded_workers(options: Any) -> int | None:
    from apache_beam.options.pipeline_options import DirectOptions, StandardOptions

    if options.view_as(StandardOptions).runner is not None:
        return None
    count = options.view_as(DirectOptions).direct_num_workers
    return usable_cores() if count == 0 else count


def _embedded_runner(options: Any) -> Any:
    """Returns Beam's embedded runner; None for the engine that the options name."""
    from apache_beam.options.pipeline_options import DirectOptions
    from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
    from apache_beam.transforms.environments import SubprocessSDKEnvironment

    workers = _embedded_workers(options)
    if workers is None:
        return None
    options.view_as(DirectOptions).direct_num_workers = workers
    if workers == 1:
        return FnApiRunner()
    # As Beam's own multi_processing mode does; `watched_workers` starts the processes.
    command = shlex.join(child_process.command(WORKER))
    return FnApiRunner(default_environment=SubprocessSDKEnvironment.from_command_string(command))


def _describe(error: Exception, deaths: Sequence[str]) -> errors.UserError:
    """Returns the user's error in that of Beam, whose text may hold a worker's traceback; else what is known.

    Args:
        deaths: how workers have ended that should not have, in one line each.
    """
    text = str(error)
    if isinstance(error, errors.UserError):
        kind = next(base for base in type(error).__mro__ if base.__module__ == errors.__name__)
        return kind(_WHERE.sub("", text))
    own = _OWN_ERROR.findall(text)
    if own:
        name, message = own[-1]
        return getattr(errors, name)(message)
    if deaths or CLOSED in text:
        return EngineError(deaths[0] if deaths else DEAD)
    lines = [line for line in _WHERE.sub("", text).strip().splitlines() if line.strip()]
    message = " ".join((lines[-1] if lines else "").split())[:LONGEST_MESSAGE]
    return EngineError(f"the pipeline failed: {message or type(error).__name__}")
