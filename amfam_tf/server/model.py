"""What is known of a model: its place in the configuration, and its versions with their states."""

import enum
import time
from dataclasses import dataclass, field
from pathlib import Path

from amfam_tf.server.servable import Servable
from amfam_tf.server.status import ServingError
from amfam_tf.server.versions import Fingerprint, Policy


class State(enum.IntEnum):
    """States of a version, with the numbers of ModelVersionStatus.State."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass
class Attempt:
    """One try to load a version, in a thread of its own.

    Attributes:
        present: what the version's folder looked like.
        filled: servable and error are what came out.
        ended: the thread has nothing more to do.
        given_up: nobody waits any more; what is loaded late is closed.
    """

    present: Fingerprint | None = None
    servable: Servable | None = None
    error: ServingError | None = None
    filled: bool = False
    ended: bool = False
    given_up: bool = False


@dataclass
class ServedVersion:
    """One version of a model, from its first sight on; kept after its end, for GetModelStatus.

    Attributes:
        name: of the model.
        error: why it could not be loaded.
        users: requests that hold it.
        tried: what its folder looked like when it could not be loaded.
        attempt: the last try to load it.
    """

    name: str
    number: int
    state: State = State.START
    error: ServingError | None = None
    servable: Servable | None = None
    users: int = 0
    tried: Fingerprint | None = None
    attempt: Attempt | None = None


@dataclass(eq=False)
class Look:
    """One look at the folder of a model, in a thread of its own.

    Attributes:
        base_path: None if the configuration does not list the model any more.
        reading: the file system is asked, which may never answer.
        again: look once more afterwards.
        started: time.monotonic() of the question to the file system.
        late: it was said in the log that it does not answer.
    """

    base_path: Path | None
    policy: Policy
    reading: bool = True
    again: bool = False
    started: float = field(default_factory=time.monotonic)
    late: bool = False


@dataclass
class Model:
    """A model of the configuration, or one that was in it.

    Attributes:
        look: the present look at its folder.
        looked: a look has ended.
    """

    name: str
    base_path: Path = Path()
    policy: Policy = field(default_factory=Policy)
    configured: bool = True
    aspired: frozenset[int] = frozenset()
    versions: dict[int, ServedVersion] = field(default_factory=dict)
    look: Look | None = None
    looked: bool = False

    def available(self) -> list[ServedVersion]:
        """Returns the versions that answer, oldest first."""
        return [version for _, version in sorted(self.versions.items()) if version.state == State.AVAILABLE]

    def failures(self) -> dict[int, ServingError]:
        """Returns why wanted versions could not be loaded, by their number."""
        return {number: one.error for number, one in self.versions.items() if number in self.aspired and one.error}

    def has_failed(self) -> bool:
        """Says whether nothing answers and nothing that is wanted can still come."""
        return not self.available() and bool(self.aspired) and len(self.failures()) == len(self.aspired)

    def next_look(self) -> Look:
        """Returns a look at what the configuration says now."""
        return Look(self.base_path if self.configured else None, self.policy)


@dataclass(frozen=True)
class Lease:
    """A version that stays loaded while it is held."""

    name: str
    version: int
    servable: Servable
