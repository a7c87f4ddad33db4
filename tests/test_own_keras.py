"""Keras is as the package needs it: what a settings file or the environment asks for changes no number, and is said."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from small import SMALL_FOR_ANY

HOSTILE_FILE = {"backend": "jax", "floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.01}
HOSTILE_VARIABLES = {
    "KERAS_BACKEND": "torch",
    "TF_USE_LEGACY_KERAS": "1",
    "KERAS_MAX_EPOCHS": "1",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
    "KERAS_NNX_ENABLED": "true",
    "PYTHONHASHSEED": "77",
}
NOTE = (
    "note: amfam-tf uses Keras with backend tensorflow, floatx float32, image_data_format channels_last, "
    "epsilon 1e-07. Overridden: "
)
SETTINGS = (
    "import keras; c = keras.config; print(c.backend(), c.floatx(), c.image_data_format(), c.epsilon(), c.max_epochs())"
)
OURS = "tensorflow float32 channels_last 1e-07 None"
SMALL_PROGRAM = """
import sys
from amfam_tf.cli.main import main
from amfam_tf.models.backbones import BACKBONES
from tiny_backbone import TINY_BACKBONE
BACKBONES["resnet14_narrow"] = TINY_BACKBONE
sys.exit(main())
"""


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Returns an almost empty environment with that home folder."""
    return {"HOME": str(home), "PATH": os.environ["PATH"], "TF_CPP_MIN_LOG_LEVEL": "3", **variables}


def hostile_home(tmp_path: Path, content: object = HOSTILE_FILE) -> Path:
    """Returns a home folder with such a keras.json."""
    settings = tmp_path / "home" / ".keras"
    settings.mkdir(parents=True)
    (settings / "keras.json").write_text(json.dumps(content))
    return settings.parent


def python(code: str, env: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)


def notes(errors: str) -> list[str]:
    """Returns the lines of ours among what TensorFlow logs."""
    return [line for line in errors.splitlines() if "amfam" in line]


def test_a_program_gets_our_settings_and_one_line_that_names_every_other(tmp_path):
    code = f"import subprocess, sys; import amfam_tf; {SETTINGS}; subprocess.run([sys.executable, '-c', {SETTINGS!r}])"
    code = f"{code}; subprocess.run([sys.executable, '-c', 'import amfam_tf; ' + {SETTINGS!r}])"
    settings = hostile_home(tmp_path) / ".keras"
    done = python(code, environment(tmp_path, KERAS_HOME=str(settings), **HOSTILE_VARIABLES))
    # The child that does not import the package has Keras' own settings but for the backend.
    lines = done.stdout.splitlines()
    assert sorted(lines) == sorted([OURS, "tensorflow float16 channels_first 0.01 None", OURS])
    assert notes(done.stderr) == [
        f"{NOTE}KERAS_BACKEND=torch; TF_USE_LEGACY_KERAS=1; KERAS_MAX_EPOCHS=1; KERAS_MAX_STEPS_PER_EPOCH=1; "
        "KERAS_NNX_ENABLED=true; backend=jax of Keras' settings; floatx=float16 of Keras' settings; "
        "image_data_format=channels_first of Keras' settings; epsilon=0.01 of Keras' settings"
    ]


def test_keras_that_is_imported_first_is_settled_all_the_same(tmp_path):
    home = hostile_home(tmp_path, HOSTILE_FILE | {"backend": "tensorflow"})
    done = python(f"import keras; import amfam_tf; {SETTINGS}", environment(home))
    assert done.stdout.strip() == OURS
    (note,) = notes(done.stderr)
    assert note.startswith(f"{NOTE}floatx=float16 of Keras' settings; ")


def test_keras_imported_first_with_another_backend_is_an_import_error():
    code = (
        "import sys, types; keras = types.ModuleType('keras');"
        "keras.config = types.SimpleNamespace(backend=lambda: 'jax'); sys.modules['keras'] = keras\n"
        "try:\n    import amfam_tf.tasks\nexcept ImportError as error:\n    print(error)"
    )
    assert python(code, dict(os.environ)).stdout == (
        "amfam_tf needs Keras with the backend tensorflow, and this process has imported it with jax: "
        "import amfam_tf before keras, or set KERAS_BACKEND=tensorflow\n"
    )


@pytest.mark.parametrize("content", [{"epsilon": 1}, {"floatx": "bfloat16"}, [1]])
def test_a_settings_file_that_keras_cannot_use_is_named(tmp_path, content):
    home = hostile_home(tmp_path, content)
    code = (
        "from amfam_tf.errors import ConfigError\n"
        "try:\n    import keras\nexcept ConfigError as error:\n    print(error)"
    )
    said = python(code, environment(home)).stdout
    assert said.startswith(f"{home / '.keras' / 'keras.json'}: Keras cannot use it: ")
    assert said.endswith("; mend or remove it\n")
    assert said.count("\n") == 1


def test_a_run_under_hostile_settings_is_the_same_to_the_last_bit(drawn, tmp_path):
    (tmp_path / "plain").mkdir()
    homes = {
        "plain": environment(tmp_path / "plain"),
        "hostile": environment(hostile_home(tmp_path), **HOSTILE_VARIABLES),
    }
    overrides = [
        word for text in (*SMALL_FOR_ANY, "data.image_size=32", "training.epochs=1") for word in ("--set", text)
    ]
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-c", SMALL_PROGRAM, "fit", "--data", drawn, "--run", tmp_path / f"{name}-run"]
            + ["--preset", "tiny", "--method", "clinical-only", *overrides],
            env=env | {"PYTHONPATH": str(Path(__file__).parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, env in homes.items()
    }
    said = {name: process.communicate()[1] for name, process in processes.items()}
    assert {name: process.returncode for name, process in processes.items()} == {"plain": 0, "hostile": 0}, said
    assert notes(said["plain"]) == []
    (note,) = notes(said["hostile"])
    assert note.startswith(NOTE)
    histories, weights = (
        [read(tmp_path / f"{name}-run") for name in homes]
        for read in (lambda run: (run / "history.csv").read_bytes(), _weights)
    )
    assert histories[0] == histories[1]
    assert len(histories[0].splitlines()) == 2
    assert weights[0] == weights[1]


def _weights(run: Path) -> bytes:
    with zipfile.ZipFile(run / "model.keras") as archive:
        return archive.read("model.weights.h5")
