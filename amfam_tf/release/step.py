"""A step of a release: what it is given, what it says at its end, and the key under which its result can be reused.

The module of a step has
- `run(work) -> StepOutcome`, which writes into `work.out`;
- `configuration(config) -> value`: the part of the configuration that decides the result;
- `outside(config, inputs) -> {name: fingerprint}`: what is read beside the inputs;
- `COUNTED`: patterns of the files that later steps read. Only these make the step's fingerprint, so that a report with
  a time in it does not make everything after it new;
- `RESUMABLE`: whether it can go on with what a killed one has left, which is then in `work.out` already.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from amfam_tf.errors import UserError
from amfam_tf.release.configuration import ReleaseConfig

Say = Callable[[str], None]
"""Shows a line to the user."""


class ReleaseError(UserError):
    """A release that cannot go on; the message says why."""


class RefusedError(ReleaseError):
    """A step has refused: the data, or the candidate, are not good enough."""


@dataclass(frozen=True)
class Step:
    """A step of the pipeline.

    Attributes:
        name: as in TFX.
        module: dotted name of the module that does the work, imported only then.
        inputs: names of the steps that have to accept first, and whose folders it reads.
        always: runs in every release, because what is outside of the release decides.
        also: modules whose code counts beside what `module` imports, because they run in another process.
        shows: modules whose code does not count, because they only show a person what others have found.
    """

    name: str
    module: str
    inputs: tuple[str, ...] = ()
    always: bool = False
    also: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()

    def load(self) -> ModuleType:
        """Returns the module, see above for what it has."""
        return importlib.import_module(self.module)


@dataclass(frozen=True)
class Work:
    """What a step is given.

    Attributes:
        config: the whole of it.
        inputs: folder of each input's result, by the step's name.
        out: folder to write into.
        records: content of step.json of all steps before, by name.
        say: shows a line.
    """

    config: ReleaseConfig
    inputs: Mapping[str, Path]
    out: Path
    records: Mapping[str, Mapping[str, Any]]
    say: Say


@dataclass(frozen=True)
class StepOutcome:
    """How a step ended.

    Attributes:
        decision: a sentence.
        accepted: False ends the release; what the step has written is kept.
        details: plain values that belong to it.
    """

    decision: str
    accepted: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)
