"""The command group: lazy, honest in its help, and one line for every error."""

import importlib
import platform
import subprocess
import sys
from pathlib import Path

import click
import pytest

import amfam_tf
from amfam_tf.cli import main as command_line
from amfam_tf.errors import DataError

CLI_FOLDER = Path(command_line.__file__).parent
NO_VERBS = {"__init__", "main", "options", "output", "paths", "quiet", "signals"}
HEAVY = ("tensorflow", "keras", "keras_cv", "numpy", "pandas", "matplotlib", "sklearn", "rich", "grpc")


@pytest.fixture
def failing_verb(monkeypatch):
    """Returns a function that makes the verb `env` raise its argument."""

    def install(error: BaseException) -> None:
        @click.command()
        def env() -> None:
            raise error

        module = importlib.import_module("amfam_tf.cli.env")
        monkeypatch.setattr(module, "env", env)

    return install


def python(code: str, **variables: str) -> str:
    """Returns the standard output of a fresh interpreter with an almost empty environment."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=variables).stdout


def test_help_imports_no_verb_and_nothing_heavy():
    code = (
        "import sys; from amfam_tf.cli.main import main; assert main(['--help']) == 0;"
        "print('MODULES', *sorted(sys.modules))"
    )
    modules = python(code).split("MODULES", 1)[1].split()
    assert not set(HEAVY) & set(modules)
    ours = {name for name in modules if name.startswith("amfam_tf.")}
    assert ours == {
        "amfam_tf.cli",
        "amfam_tf.cli.main",
        "amfam_tf.cli.output",
        "amfam_tf.cli.quiet",
        "amfam_tf.cli.signals",
        "amfam_tf.errors",
        "amfam_tf.fast_kernels",
        "amfam_tf.own_keras",
        "amfam_tf.files",
        "amfam_tf.files.storage",
        "amfam_tf.text",
    }


def test_table_and_files_agree():
    files = {path.stem for path in CLI_FOLDER.glob("*.py")} - NO_VERBS
    modules = {module.rpartition(".")[2] for module, _ in command_line.VERBS.values()}
    assert modules == files
    for verb, (module, _) in command_line.VERBS.items():
        assert module == f"amfam_tf.cli.{verb.replace('-', '_')}"


@pytest.mark.parametrize("verb", command_line.VERBS)
def test_one_line_help_is_the_commands_own(verb):
    command = command_line.amfam_tf.get_command(click.Context(command_line.amfam_tf), verb)
    assert command is not None
    assert command.name == verb
    assert command_line.VERBS[verb][1] == command.get_short_help_str(limit=200)


def test_help_lists_every_verb(capsys):
    assert command_line.main(["--help"]) == 0
    commands = capsys.readouterr().out.split("Commands:\n", 1)[1]
    listed = [line.split()[0] for line in commands.splitlines() if line.startswith("  ") and line[2] != " "]
    assert listed == list(command_line.VERBS)


def test_version(capsys):
    assert command_line.main(["--version"]) == 0
    assert capsys.readouterr().out == f"amfam-tf, version {amfam_tf.__version__}\n"


def test_python_m_is_the_same_command():
    done = subprocess.run([sys.executable, "-m", "amfam_tf", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"amfam-tf, version {amfam_tf.__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["no-such-verb"], ["config", "show", "--no-such-option"], ["config", "validate"], []]
)
def test_wrong_usage_exits_2(arguments, capsys):
    assert command_line.main(arguments) == 2
    assert "Usage: amfam-tf" in capsys.readouterr().err


def test_user_error_is_one_line_and_status_1(failing_verb, capsys):
    failing_verb(DataError("meta.csv row 3: no such picture"))
    assert command_line.main(["env"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "error: meta.csv row 3: no such picture\n"
    assert captured.out == ""


def test_unexpected_error_names_its_type_and_advises_debug(failing_verb, capsys):
    failing_verb(RuntimeError("first line\nsecond line"))
    assert command_line.main(["env"]) == 1
    advice = "(unexpected: run the same command with --debug for the traceback)"
    assert capsys.readouterr().err == f"error: RuntimeError: first line second line {advice}\n"


def test_unexpected_error_of_any_length_stays_short(failing_verb, capsys):
    failing_verb(RuntimeError("x" * 10_000))
    assert command_line.main(["env"]) == 1
    assert len(capsys.readouterr().err) < 600


@pytest.mark.parametrize("arguments", [["--debug", "env"], ["env", "--debug"]])
@pytest.mark.parametrize("error", [DataError("wrong"), RuntimeError("broken")])
def test_debug_shows_the_traceback(failing_verb, arguments, error):
    failing_verb(error)
    with pytest.raises(type(error)) as caught:
        command_line.main(arguments)
    assert caught.value is error


def test_debug_can_follow_a_subcommand():
    with pytest.raises(amfam_tf.errors.ConfigError):
        command_line.main(["config", "show", "--set", "nonsense=1", "--debug"])


def test_interrupt_is_one_line_and_status_130(failing_verb, capsys):
    failing_verb(KeyboardInterrupt())
    assert command_line.main(["env"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "--data", "gs://bucket/data", "--run", "run"],
        ["export", ".", "--to", "s3://bucket/models"],
        ["check", "gs://bucket/data"],
    ],
)
def test_a_url_where_a_path_of_this_machine_belongs_is_wrong_usage(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert command_line.main(words) == 2
        assert "://bucket" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_status_of_a_verb_is_passed_on(failing_verb):
    failing_verb(click.exceptions.Exit(1))
    assert command_line.main(["env"]) == 1


def test_environment_for_tensorflow():
    code = (
        "import os; from amfam_tf.cli.main import prepare_environment; prepare_environment();"
        "names = ('TF_CPP_MIN_LOG_LEVEL', 'KERAS_BACKEND', 'TF_ENABLE_ONEDNN_OPTS');"
        "print(*(os.environ.get(name) for name in names))"
    )
    fast = "1" if platform.machine() in ("x86_64", "AMD64") else "None"
    assert python(code).split() == ["3", "tensorflow", fast]
    chosen = {"TF_CPP_MIN_LOG_LEVEL": "0", "KERAS_BACKEND": "jax", "TF_ENABLE_ONEDNN_OPTS": "0"}
    assert python(code, **chosen).split() == ["0", "tensorflow", "0"]
