"""Makes the helpers of this folder, such as `releases`, importable from every test; what several tests share."""

import contextlib
import fcntl
import gc
import os
import shutil
import sys

import pytest

from amfam_tf.fast_kernels import prefer_fast_kernels

# The servers that tests ask are on this machine: where a proxy is set, it is not on the way to them.
os.environ["no_grpc_proxy"] = "localhost,127.0.0.1,::1"  # noqa: SIM112  (gRPC reads small letters)
# As the command line does, before any test imports TensorFlow.
prefer_fast_kernels()


def pytest_addoption(parser):
    """Adds the switch of TensorFlow's graph optimiser."""
    parser.addoption("--optimized-graphs", action="store_true", help="Optimise graphs in this process too; slow.")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Leaves TensorFlow's graph optimiser out, unless it is asked for: half of the time of a small fit is its.

    What runs in a process of its own, as users run it, keeps the optimiser.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None:
        wanted = item.config.getoption("--optimized-graphs") or item.get_closest_marker("optimized_graphs")
        tensorflow.config.optimizer.set_experimental_options({"disable_meta_optimizer": not wanted})


def pytest_collection_modifyitems(items):
    """Puts the files with a slow test first: at the end, one of them would keep one worker busy and the others idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish():
    """Takes what was imported out of all later garbage collections: a server makes one for each version it unloads."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A drawn release of 40 cases, 96 x 72 pixels; not to be changed."""
    from amfam_tf.data import synthetic

    root = tmp_path_factory.mktemp("drawn") / "release"
    synthetic.write_data_set(root, cases=40, seed=1, size=(96, 72), workers=1)
    return root


@pytest.fixture(scope="module")
def tiny_backbone():
    """In the whole file the backbone of the preset `tiny` is one of two convolutions."""
    from tiny_backbone import TINY_BACKBONE

    from amfam_tf.models.backbones import BACKBONES

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "resnet14_narrow", TINY_BACKBONE)
        yield


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are composed and not drawn, which takes most of the time of a report: for tests that look at none."""
    from amfam_tf.evaluation import figure_style

    monkeypatch.setattr(figure_style, "to_png", lambda *_: b"")


def shared_folder(tmp_path_factory):
    """Returns a folder that all workers of the session have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextlib.contextmanager
def locked(path):
    """Lets one worker at a time do the body."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def version(tmp_path_factory):
    """A calibrated run with a border crop and a limit of pixels, exported by the command line; not to be changed.

    The first worker that needs it makes it for all of them.
    """
    from exported_runs import CALIBRATED, OVERRIDES, Version, small_network, write_run

    from amfam_tf.cli import main as command_line

    shared = shared_folder(tmp_path_factory)
    run, models = shared / "exported" / "run", shared / "exported" / "models" / "lesions"
    with locked(shared / "exported.lock"):
        if (models / "1").is_dir():
            network = small_network(*OVERRIDES)
        else:
            shutil.rmtree(shared / "exported", ignore_errors=True)
            network = write_run(run, *OVERRIDES, temperatures=CALIBRATED)
            assert command_line.main(["export", str(run), "--to", str(models)]) == 0
    return Version(run, models / "1", network)


@pytest.fixture(scope="session")
def other_versions(tmp_path_factory):
    """Exported versions of other cards, by the card's name, each calibrated; not to be changed.

    `milk10k` has one task of eleven classes and two targets, `hospital` two tasks and a score. Their backbone is tiny.
    """
    from exported_runs import OVERRIDES, Version, small_network, write_run
    from small_pairs import HOSPITAL
    from tiny_backbone import TINY_BACKBONE

    from amfam_tf.card import cards
    from amfam_tf.export.export import export_run
    from amfam_tf.models.backbones import BACKBONES

    found, shared = {}, shared_folder(tmp_path_factory)
    with pytest.MonkeyPatch.context() as patch, locked(shared / "others.lock"):
        patch.setitem(BACKBONES, "resnet14_narrow", TINY_BACKBONE)
        for card in (cards.packaged("milk10k"), cards.parse(HOSPITAL, "hospital")):
            run, models = shared / card.name / "run", shared / card.name / "models" / "lesions"
            if (models / "1").is_dir():
                network = small_network(*OVERRIDES, card=card)
            else:
                shutil.rmtree(shared / card.name, ignore_errors=True)
                temperatures = {task.name: 3.0 + number for number, task in enumerate(card.tasks)}
                network = write_run(run, *OVERRIDES, temperatures=temperatures, card=card)
                export_run(run, models)
            found[card.name] = Version(run, models / "1", network)
    return found


@pytest.fixture(scope="session")
def loaded(version):
    """The loaded SavedModel of `version`."""
    import tensorflow as tf

    return tf.saved_model.load(str(version.path))


@pytest.fixture(scope="session")
def clinic(tmp_path_factory):
    """An exported run of `clinic` that takes metadata; not to be changed."""
    from clinic import clinic_version

    return clinic_version(shared_folder(tmp_path_factory))
