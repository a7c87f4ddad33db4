"""A step's code is what it imports, on all levels, libraries too; a change elsewhere leaves its results as they are."""

from pathlib import Path

import pytest

from amfam_tf.files import digests
from amfam_tf.release import code
from amfam_tf.release.pipeline import STEPS

BY_NAME = {step.name: step for step in STEPS}
SHOWN = ("evaluation/figures/", "evaluation/html_report", "evaluation/tables", "training/panel", "training/progress")
SHOWN += ("report/table", "report/terminal", "report/html", "report/markdown", "report/numbers", "report/count_table")
SHOWN += ("terminal.py", "cli/", "explain/panel", "comparison/", "training/dry_run")


def describe(name: str) -> dict:
    step = BY_NAME[name]
    return code.identity(code.describe((step.module, *step.also), step.shows))


def modules_of(name: str) -> frozenset[str]:
    step = BY_NAME[name]
    return code.imported_by((step.module, *step.also), step.shows)


def test_training_does_not_depend_on_evaluation_ingest_serving_or_the_command_line():
    found = modules_of("Trainer")
    assert {"amfam_tf.training.trainer", "amfam_tf.models.amfam", "amfam_tf.data.augment", "amfam_tf.config"} <= found
    for part in (
        "evaluation",
        "ingest",
        "cli",
        "explain",
        "export.export",
        "server",
        "client",
        "pipelines",
        "terminal",
    ):
        assert not [name for name in found if name.startswith(f"amfam_tf.{part}")]


@pytest.mark.parametrize(
    ("step", "module"),
    [
        ("ExampleGen", "amfam_tf.ingest.pipeline"),
        ("ExampleGen", "amfam_tf.ingest.picture"),
        ("ExampleGen", "amfam_tf.ingest.statistics"),
        ("ExampleValidator", "amfam_tf.ingest.schema"),
        ("Evaluator", "amfam_tf.evaluation.intervals"),
        ("Evaluator", "amfam_tf.release.losses"),
        ("InfraValidator", "amfam_tf.export.fold"),
        ("InfraValidator", "amfam_tf.server.predict"),
    ],
)
def test_what_makes_a_result_counts(step, module):
    assert module in modules_of(step)


def test_what_a_step_only_takes_a_name_from_does_not_count():
    # Drawn samples and Grad-CAM come with an export, and the Evaluator exports nothing.
    for part in ("data.synthetic", "explain", "export.samples", "export.signatures"):
        assert not [name for name in modules_of("Evaluator") if name.startswith(f"amfam_tf.{part}")]
    # It reads what ingest has written.
    assert "amfam_tf.ingest.anomalies" not in modules_of("ExampleValidator")


@pytest.mark.parametrize("step", BY_NAME)
def test_a_figure_a_table_or_the_command_line_changes_no_step(step, monkeypatch):
    before = describe(step)
    assert before["libraries"].keys().isdisjoint({"matplotlib", "rich", "click", "Jinja2"})
    real = digests.of_file
    root = code.source_of(code.PACKAGE).parent

    def changed(path: Path) -> str:
        return "new" if path.relative_to(root).as_posix().startswith(SHOWN) else real(path)

    monkeypatch.setattr(digests, "of_file", changed)
    assert describe(step) == before


@pytest.mark.parametrize(
    ("library", "step", "counts"),
    [
        *[(library, "Evaluator", True) for library in ("scipy", "pandas", "numpy", "tensorflow")],
        *[
            (library, "Trainer", True)
            for library in ("tensorflow", "keras", "keras-cv", "scikit-learn", "numpy", "pandas")
        ],
        *[(library, "Trainer", False) for library in ("scipy", "apache-beam")],
        *[(library, "ExampleGen", True) for library in ("apache-beam", "simplejpeg", "pillow")],
        *[(library, "Evaluator", False) for library in ("scikit-learn", "apache-beam")],
        ("scipy", "ExampleValidator", False),
        ("grpcio", "InfraValidator", True),
        ("protobuf", "ExampleValidator", True),
    ],
)
def test_another_version_of_a_library_counts_where_it_is_used(library, step, counts, monkeypatch):
    before = describe(step)
    real = code._version
    monkeypatch.setattr(code, "_version", lambda name: "999" if name == library else real(name))
    assert (describe(step) != before) == counts


def test_a_blessing_is_not_reused_when_scipy_has_changed(release_quickly, monkeypatch):
    release_quickly()
    real = code._version
    monkeypatch.setattr(code, "_version", lambda name: "999" if name == "scipy" else real(name))
    results, _ = release_quickly()
    assert (results["Trainer"].reused, results["Evaluator"].reused) == (True, False)
    assert results["Evaluator"].record["code"]["libraries"]["scipy"] == "999"


def test_libraries_are_those_that_are_imported_and_not_for_type_checkers(tmp_path, monkeypatch):
    source = tmp_path / "made_up.py"
    source.write_text(
        "from typing import TYPE_CHECKING\nimport json\n"
        "from google.protobuf import text_format\nimport sklearn.metrics as m\n"
        "if TYPE_CHECKING:\n    import rich\n"
        "def f():\n    import no_such_library.part\n"
    )
    monkeypatch.setattr(code, "source_of", lambda _: source)
    assert code.libraries_of(["amfam_tf.made_up"]) == {"protobuf", "scikit-learn", "no_such_library"}
    assert code._version("no_such_library") is None


def test_the_fingerprint_changes_with_a_source_and_not_with_the_commit(monkeypatch):
    modules = ("amfam_tf.release.losses",)
    before = code.describe(modules)
    monkeypatch.setattr(code, "_commit", lambda: "another")
    assert code.identity(code.describe(modules)) == code.identity(before)
    real = digests.of_file
    monkeypatch.setattr(digests, "of_file", lambda path: "new" if path.name == "intervals.py" else real(path))
    assert code.describe(modules)["modules"] != before["modules"]
    monkeypatch.setattr(digests, "of_file", lambda path: "new" if path.name == "trainer.py" else real(path))
    assert code.describe(modules)["modules"] == before["modules"]
