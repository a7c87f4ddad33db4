"""Jobs in child processes: a failure stops no other, and nothing outlives this process. The children are tiny."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from amfam_tf.comparison import children
from amfam_tf.comparison.children import Job, describe_end, run_jobs


@pytest.fixture(autouse=True)
def look_often(monkeypatch):
    monkeypatch.setattr(children, "LOOK_SECONDS", 0.01)


def job(name: str, code: str) -> Job:
    return Job(name, [sys.executable, "-c", code])


def test_a_failed_and_a_killed_job_do_not_stop_the_others(tmp_path):
    jobs = [
        job("raises", "raise ValueError('what went wrong')"),
        job(
            "told", "import sys; print('error: no such file', file=sys.stderr); print('bye', file=sys.stderr); exit(1)"
        ),
        job("killed", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"),
        job("silent", "exit(7)"),
        job("good", f"open({str(tmp_path / 'made')!r}, 'w').write('x'); print('said')"),
    ]
    seen = []
    failed = run_jobs(jobs, tmp_path / "logs", watch=seen.append)
    assert failed == {
        "raises": "ValueError: what went wrong",
        "told": "no such file",
        "killed": "ended by signal SIGKILL (often: out of memory)",
        "silent": "ended with status 7 and said nothing",
    }
    assert (tmp_path / "made").read_text() == "x"
    assert (tmp_path / "logs/good.log").read_text() == "said\n"
    assert "Traceback" in (tmp_path / "logs/raises.errors.log").read_text()
    assert seen[-1].succeeded == ("good",)
    assert seen[-1].failed == failed


def test_every_snapshot_has_every_job_once_and_no_more_run_than_wanted(tmp_path):
    names = [f"job{number}" for number in range(5)]
    seen = []
    run_jobs([job(name, "pass") for name in names], tmp_path, at_once=2, watch=seen.append)
    for snapshot in seen:
        assert sorted([*snapshot.waiting, *snapshot.running, *snapshot.succeeded, *snapshot.failed]) == names
        assert len(snapshot.running) <= 2
    assert max(len(snapshot.running) for snapshot in seen) == 2
    assert set(seen[-1].succeeded) == set(names)


SLEEPER = """
import os, pathlib, time
path = pathlib.Path({path!r})
path.with_suffix('.part').write_text(str(os.getpid()))
path.with_suffix('.part').rename(path)
{more}
time.sleep(600)
"""


@pytest.mark.parametrize("more", ["", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"])
def test_an_interrupt_ends_the_children(more, tmp_path, monkeypatch):
    monkeypatch.setattr(children, "END_SECONDS", 0.5)
    path = tmp_path / "pid"

    def interrupt(_):
        if path.exists():
            raise KeyboardInterrupt

    jobs = [job("sleeps", SLEEPER.format(path=str(path), more=more)), job("later", "pass")]
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, tmp_path / "logs", watch=interrupt)
    assert not psutil.pid_exists(int(path.read_text()))
    assert not (tmp_path / "logs/later.log").exists()


def test_a_child_does_not_get_the_terminals_interrupt(tmp_path):
    """Ctrl-C goes to the foreground's process group: only the parent is in it."""
    code = f"import os; open({str(tmp_path / 'group')!r}, 'w').write(str(os.getpgrp()))"
    assert run_jobs([job("group", code)], tmp_path) == {}
    assert int((tmp_path / "group").read_text()) != os.getpgrp()


def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    """The parent starts a worker's watch over its standard input and is killed without a chance to clean up."""
    pid_file = tmp_path / "pid"
    child = "from amfam_tf.child_process import end_with_parent\nend_with_parent()\n" + SLEEPER.format(
        path=str(pid_file), more=""
    )
    parent = (
        "import pathlib, sys\n"
        "from amfam_tf.comparison import children\n"
        f"job = children.Job('sleeps', [sys.executable, '-c', {child!r}])\n"
        f"children.run_jobs([job], pathlib.Path({str(tmp_path / 'logs')!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    wait_until(pid_file.exists, process)
    sleeper = psutil.Process(int(pid_file.read_text()))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert psutil.wait_procs([sleeper], timeout=60)[1] == []


def wait_until(condition, process: subprocess.Popen) -> None:
    """Returns when the condition holds; fails if the process ends before."""
    while not condition():
        assert process.poll() is None
        time.sleep(0.01)


def test_several_children_share_the_processors(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert [children.threads_of_each(count) for count in (1, 2, 3, 20)] == [None, 4, 2, 1]
    code = "import os; print(*(os.environ.get(name) for name in ('TF_NUM_INTRAOP_THREADS', 'OMP_NUM_THREADS')))"
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run_jobs([job("alone", code)], tmp_path)
    run_jobs([job("shared", code)], tmp_path, threads=3)
    assert (tmp_path / "alone.log").read_text().split() == ["None", "None"]
    assert (tmp_path / "shared.log").read_text().split() == ["3", "3"]


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (1, "Traceback\n  x\nKeyError: 'a'\n\n", "KeyError: 'a'"),
        (1, "noise\nerror: the reason\nWARNING: later\n", "the reason"),
        (-15, "", "ended by signal SIGTERM"),
        (-9, "loading\n", "ended by signal SIGKILL (often: out of memory); last line: loading"),
        (1, "x" * 1000, "x" * 300),
    ],
)
def test_why_a_process_ended(status, text, expected, tmp_path):
    path = Path(tmp_path / "errors.log")
    path.write_text(text)
    assert describe_end(status, path) == expected
