"""What a release is to be: one YAML file, one frozen dataclass tree; pipelines/release.yaml is the documented example.

Paths are as seen from the working directory, as on the command line. Unknown keys and impossible values raise
ConfigError before any data is read.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from amfam_tf import config as training_configuration
from amfam_tf import strict_yaml
from amfam_tf.card import cards
from amfam_tf.card.schema import DataCard
from amfam_tf.config import Config
from amfam_tf.data.cases import find_card
from amfam_tf.errors import ConfigError
from amfam_tf.ranges import bounded, check, require
from amfam_tf.release.metric_places import metric_places, no_such_metric


def _expand_homes(part: Any, *names: str) -> None:
    """Puts the user's home folder in place of a leading ~ in values that are paths."""
    for name in names:
        if getattr(part, name) is not None:
            object.__setattr__(part, name, training_configuration.without_home(getattr(part, name)))


@dataclass(frozen=True)
class DataPart:
    """What ExampleGen ingests, see `amfam_tf.ingest.pipeline`.

    Attributes:
        source: folder or URL of a data set, or a CSV of pairs.
        card: file of the data set's card; null for the one beside it, or that of its layout.
        images: folder or URL that the pictures' paths start from; null for the source's own.
        shards: number of files of records.
        max_bad_share: share of the rows, in [0, 1], that may become no record.
        beam_arguments: Beam's options, e.g. "--direct_num_workers=4".
    """

    source: str = ""
    card: str | None = None
    images: str | None = None
    shards: int = bounded(8, 1, 10_000)
    max_bad_share: float = bounded(0.0, 0, 1)
    beam_arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _expand_homes(self, "source", "card", "images")
        require(self.source != "", "data.source is missing: name a data set or a CSV of pairs")
        check(self, "data")

    def read_card(self) -> DataCard:
        """Returns the card of the data; Derm7pt's of a URL, a CSV, or what is not on this machine.

        Raises:
            ConfigError: it cannot be used.
        """
        if self.card is not None:
            return cards.read(Path(self.card))
        return find_card(Path(self.source))[0] if Path(self.source).is_dir() else cards.legacy()


@dataclass(frozen=True)
class ValidationPart:
    """When ExampleValidator accepts the data.

    Attributes:
        schema: schema.pbtxt that somebody has read and keeps under version control; the data have to have the same
            features. null takes the one that ingest has inferred.
        allow: kinds of problems that do not stop the release, e.g. "leakage"; they are written down all the same.
        fewest_cases: in each of the three splits.
    """

    schema: str | None = None
    allow: tuple[str, ...] = ()
    fewest_cases: int = bounded(1, 1, 10**9)

    def __post_init__(self) -> None:
        _expand_homes(self, "schema")
        check(self, "validation")


@dataclass(frozen=True)
class TrainingPart:
    """What Trainer fits: as `amfam-tf fit --preset --method --set`.

    Attributes:
        preset: a name, or the path of a YAML file.
        method: of the registry; null for the preset's.
        overrides: "section.key=value" each.
    """

    preset: str = "paper"
    method: str | None = None
    overrides: tuple[str, ...] = ()

    def resolve(self) -> Config:
        """Returns the configuration of the run.

        Raises:
            ConfigError: unknown preset, key or impossible value.
        """
        changes = None if self.method is None else {"method": self.method}
        return training_configuration.load(self.preset, self.overrides, changes)

    def asked_keys(self) -> list[str]:
        """Returns the keys that the method has to read, see `amfam_tf.config.asked_keys`."""
        return training_configuration.asked_keys(self.preset, self.overrides, self.method)


@dataclass(frozen=True)
class Threshold:
    """A bound on a metric of metrics.json.

    Attributes:
        metric: its place, with dots, e.g. "average.accuracy"; one of `metric_places` for the card of the data.
        at_least: the lower end of that interval has to reach this.
    """

    metric: str = ""
    at_least: float | None = bounded(None, -1, 1)

    def __post_init__(self) -> None:
        require(self.metric != "", "blessing.thresholds: each needs a metric, e.g. average.accuracy")
        require(self.at_least is not None, f"blessing.thresholds: {self.metric} needs at_least, a number to reach")
        check(self, "blessing.thresholds")


@dataclass(frozen=True)
class BlessingPart:
    """When Evaluator blesses a candidate; the rule is in `amfam_tf.release.blessing`.

    Attributes:
        split: that is evaluated.
        thresholds: at least one; all have to be reached.
        significance: level of each test for a loss against the served version, in (0, 0.5].
        subgroups: columns of metadata whose values are tested one by one; none tests the whole split only. By default
            these of Derm7pt; of another card those of values that its report shows apart.
    """

    split: Literal["validate", "test"] = "test"
    thresholds: tuple[Threshold, ...] = ()
    significance: float = bounded(0.05, 0, 0.5, open_low=True)
    subgroups: tuple[str, ...] = field(default_factory=lambda: _legacy_subgroups())

    def __post_init__(self) -> None:
        require(
            len(self.thresholds) > 0,
            "blessing.thresholds is missing: a release needs at least one, e.g. "
            "[{metric: average.accuracy, at_least: 0.6}]",
        )
        check(self, "blessing")

    def subgroups_of(self, card: DataCard) -> tuple[str, ...]:
        """Returns the columns whose values are tested, of data with this card."""
        if self.subgroups == _legacy_subgroups() and not cards.is_derm7pt(card):
            return _columns_of_values(card)
        return self.subgroups

    def check_card(self, card: DataCard) -> None:
        """Checks, before anything is done, that data with this card have what the rule names.

        Raises:
            ConfigError: names the metric or the column.
        """
        places = metric_places(card)
        for threshold in self.thresholds:
            if threshold.metric not in places:
                raise no_such_metric(threshold.metric, card)
        known = _columns_of_values(card)
        for number, name in enumerate(self.subgroups_of(card)):
            if name not in known:
                raise ConfigError(f"blessing.subgroups[{number}] must be one of {', '.join(known)}. Received: {name!r}")


def _legacy_subgroups() -> tuple[str, ...]:
    """Returns the default of before there were cards, in the order of the reports."""
    return tuple(reversed(_columns_of_values(cards.legacy())))


def _columns_of_values(card: DataCard) -> tuple[str, ...]:
    """Returns the columns of metadata that a report shows apart and that have values, not numbers."""
    return tuple(name for name, column in card.metadata.items() if column.subgroup and column.values)


@dataclass(frozen=True)
class InfraPart:
    """How InfraValidator tries the candidate.

    Attributes:
        engine: the server that it is tried on: "embedded", or "tensorflow-serving" for the real one, as `amfam-tf
            serve --engine`.
        precision: of the exported weights, as `amfam-tf export --precision`.
        canaries: cases of the evaluated split that are sent to the server; their answers have to be those of Evaluator.
        patience_seconds: for the server to load the candidate.
    """

    engine: Literal["embedded", "tensorflow-serving"] = "embedded"
    precision: Literal["float32", "bfloat16"] = "float32"
    canaries: int = bounded(8, 1, 10_000)
    patience_seconds: float = bounded(180.0, 0, 86_400, open_low=True)

    def __post_init__(self) -> None:
        check(self, "infra")


@dataclass(frozen=True)
class PushPart:
    """What Pusher may do.

    Attributes:
        allow_withdrawn: push a candidate again that a roll-back has withdrawn.
    """

    allow_withdrawn: bool = False


@dataclass(frozen=True)
class ReleaseConfig:
    """A release.

    Attributes:
        model: folder of the model's versions, e.g. saved_models/amfam; its last name is the model's.
        work: folder for what the steps write, to be reused and continued.
    """

    model: str = ""
    work: str = ""
    data: DataPart = field(default_factory=lambda: DataPart())
    validation: ValidationPart = field(default_factory=ValidationPart)
    training: TrainingPart = field(default_factory=TrainingPart)
    blessing: BlessingPart = field(default_factory=lambda: BlessingPart())
    infra: InfraPart = field(default_factory=InfraPart)
    push: PushPart = field(default_factory=PushPart)

    def __post_init__(self) -> None:
        _expand_homes(self, "model", "work")
        require(self.model != "", "model is missing: name the folder of its versions, e.g. saved_models/amfam")
        require(self.work != "", "work is missing: name a folder for what the steps write")
        # Now and not after the ingest.
        self.training.resolve()
        self.blessing.check_card(self.data.read_card())


def read(path: Path) -> ReleaseConfig:
    """Returns the configuration of a YAML file.

    Raises:
        ConfigError: it cannot be read, has unknown keys or impossible values; names the file.
    """
    return parse(training_configuration.read_text(path), str(path))


def parse(text: str, name: str) -> ReleaseConfig:
    """Returns the configuration of a YAML text, as `read`; `name` is what to call it."""
    tree = strict_yaml.parse(text, name)
    if not isinstance(tree, dict):
        raise ConfigError(f"{name} must be a mapping of sections. Received: {type(tree).__name__}")
    try:
        return training_configuration.structure(tree, ReleaseConfig, "")
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
