"""Which strategy a name means, what cannot be distributed, and what a single worker makes of it all."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from small import small_config

from amfam_tf import config as configuration
from amfam_tf.cli.fit import STRATEGIES
from amfam_tf.cli.fit import fit as fit_verb
from amfam_tf.errors import ConfigError, RunError
from amfam_tf.runs.folder import RunFolder, RunState
from amfam_tf.tasks import DERM7PT, TASKS
from amfam_tf.training import distribution, run
from amfam_tf.training.distribution import SINGLE, check_replicas, create

ONE_WORKER = json.dumps({"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 0}})


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)


def test_the_verb_knows_the_strategies():
    assert STRATEGIES == distribution.STRATEGIES


def test_one_device_needs_no_strategy(monkeypatch):
    assert create("single") is create("auto") is SINGLE
    monkeypatch.setenv("TF_CONFIG", ONE_WORKER)
    assert create("auto") is SINGLE


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mirrored", "strategy mirrored needs at least two devices, here is 1 CPU: leave it out"),
        (
            "multi-worker",
            "strategy multi-worker needs the environment variable TF_CONFIG with the keys cluster and task: "
            "see docs/distributed.md",
        ),
        ("both", "the strategy must be one of single, mirrored, multi-worker, auto. Received: 'both'"),
    ],
)
def test_a_strategy_that_cannot_be_is_one_line(name, message):
    with pytest.raises(ConfigError) as error:
        create(name)
    assert str(error.value) == message


@pytest.mark.parametrize("name", ["multi-worker", "auto"])
def test_a_wrong_cluster_is_told_and_not_passed_over(name, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:2"]}}')
    with pytest.raises(ConfigError, match="TF_CONFIG has no key task"):
        create(name)


WHERE = r"with 4 replicas \(strategy mirrored\)"


@pytest.mark.parametrize(
    ("override", "cases", "message"),
    [
        ("training.steps_per_execution=2", 40, rf"training.steps_per_execution must be 1 {WHERE}. Received: 2"),
        ("training.jit_compile=on", 40, rf"training.jit_compile must be auto or off {WHERE}. Received: on"),
        ("training.batch_size=3", 40, r"Received: batches of 3 and 3 \(validation\) cases, 20 validation cases"),
        (
            "model.batch_norm=per_replica",
            43,
            rf"model.batch_norm=per_replica {WHERE} needs .* last of 43 training cases in batches of 8 has 3: set",
        ),
    ],
)
def test_what_does_not_go_with_replicas_is_refused_and_with_one_it_is_not(override, cases, message):
    config = small_config("training.batch_size=8", override)
    replicas = SimpleNamespace(replicas=4, name="mirrored")
    with pytest.raises(ConfigError, match=message):
        check_replicas(replicas, config, training_cases=cases, validation_cases=20, tasks=TASKS)
    check_replicas(SINGLE, config, training_cases=cases, validation_cases=20, tasks=TASKS)


@pytest.mark.parametrize(
    "overrides", [(), ("model.batch_norm=per_replica",), ("data.sampling=balanced", "model.batch_norm=per_replica")]
)
def test_what_goes_with_replicas(overrides):
    config = small_config("training.batch_size=8", *overrides)
    check_replicas(
        SimpleNamespace(replicas=4, name="mirrored"), config, training_cases=44, validation_cases=4, tasks=TASKS
    )


def test_workers_must_have_the_same_configuration_data_and_teacher():
    config = configuration.to_dict(small_config())
    state = dataclasses.asdict(RunState(epochs=3))
    chief = {"config": config, "data": "a" * 64, "teacher": "c" * 64, "state": state}
    assert run._state_of_chief([chief, chief | {"state": dataclasses.asdict(RunState())}]) == RunState(epochs=3)
    with pytest.raises(RunError, match=r"worker 1 has other data than the chief \(fingerprint aaaaaaaaaaaa -> bbbbbb"):
        run._state_of_chief([chief, chief | {"data": "b" * 64}])
    with pytest.raises(RunError, match=r"worker 2 has another configuration than the chief \(seed: 0 -> 5\)"):
        run._state_of_chief([chief, chief, chief | {"config": config | {"seed": 5}}])
    with pytest.raises(RunError, match=r"worker 1 has another teacher than the chief \(weights cccccccccccc -> dddddd"):
        run._state_of_chief([chief, chief | {"teacher": "d" * 64}])
    assert run._state_of_chief([chief | {"teacher": None}] * 2) == RunState(epochs=3)


def test_environment_tells_each_change_of_devices(tmp_path):
    folder = RunFolder(tmp_path)
    two = {"strategy": "mirrored", "replicas": 2, "workers": 1}
    folder.begin(small_config(), {"data_fingerprint": "x"}, card=DERM7PT)
    for epoch, how in ((0, two), (2, two), (5, SINGLE.describe()), (7, SINGLE.describe()), (8, two)):
        folder.note_distribution(epoch, how)
    single = {"strategy": "single", "replicas": 1, "workers": 1}
    assert folder.read_environment() == {
        "data_fingerprint": "x",
        "distribution": [{"from_epoch": 0} | two, {"from_epoch": 5} | single, {"from_epoch": 8} | two],
    }


def test_the_dry_run_is_of_one_device(tmp_path):
    result = CliRunner().invoke(fit_verb, ["--data", str(tmp_path), "--dry-run", "--strategy", "auto"])
    assert result.exit_code == 2
    assert "leave --strategy out" in result.output
