"""`amfam-tf demo`, with verbs that only remember how they were called."""

import contextlib
import json
import types

import click
import pytest

from amfam_tf.cli import demo as demo_module
from amfam_tf.cli.main import main


@pytest.fixture
def calls(monkeypatch):
    """Returns the list of command lines that the demo ran; `calls.fails` is the verb that exits with status 1."""
    record = types.SimpleNamespace(lines=[], fails=None)

    def module_of(name: str) -> types.SimpleNamespace:
        verb = name.rpartition(".")[2]

        @click.command(verb, context_settings={"ignore_unknown_options": True})
        @click.argument("words", nargs=-1, type=click.UNPROCESSED)
        @click.pass_context
        def command(ctx: click.Context, words: tuple[str, ...]) -> None:
            record.lines.append((verb, *words))
            if verb == record.fails:
                ctx.exit(1)

        return types.SimpleNamespace(**{verb: command})

    @contextlib.contextmanager
    def serving(words, port, log):
        record.lines.append(tuple(words))
        assert words[words.index("--port") + 1] == str(port) == "4321"
        assert log.name == "serve.log"
        yield
        record.lines.append(("the server ends",))

    monkeypatch.setattr(demo_module.importlib, "import_module", module_of)
    monkeypatch.setattr(demo_module.child, "serving", serving)
    monkeypatch.setattr(demo_module.child, "free_port", lambda: 4321)
    monkeypatch.setattr(demo_module, "first_test_pair", lambda data: (data / "c.jpg", data / "d.jpg"))
    return record


def demo(*arguments: str) -> int:
    return demo_module.demo.main(list(arguments), standalone_mode=False) or 0


def expected(out: object) -> list[tuple[str, ...]]:
    return [
        ("synth", "--out", f"{out}/data", "--cases", "60", "--seed", "0"),
        ("check", f"{out}/data"),
        (
            *("fit", "--data", f"{out}/data", "--run", f"{out}/run", "--preset", "laptop"),
            *("--set", "data.image_size=128", "--set", "training.epochs=5"),
        ),
        ("evaluate", f"{out}/run", "--data", f"{out}/data", "--split", "test"),
        ("export", f"{out}/run", "--out", f"{out}/saved_models/amfam"),
        (
            *("serve", "--model-name", "amfam", "--model-base-path", f"{out}/saved_models/amfam"),
            *("--port", "4321", "--bind-address", "127.0.0.1"),
        ),
        (
            *("query", "--clinical", f"{out}/data/c.jpg", "--dermoscopic", f"{out}/data/d.jpg"),
            *("--server", "127.0.0.1:4321"),
        ),
        ("the server ends",),
    ]


def test_runs_the_verbs_in_order_and_shows_each_command_line(calls, tmp_path, capsys):
    out = tmp_path / "demo"
    demo("--out", str(out), "--cases", "60")
    assert calls.lines == expected(out)
    printed = capsys.readouterr().out.replace("\n", "")
    for number, words in enumerate(expected(out)[:-1], start=1):
        assert f"{number}/7" in printed
        assert " ".join(("$ amfam-tf", *words)) in printed


def test_again_continues_without_drawing_again(calls, tmp_path):
    demo("--out", str(tmp_path / "demo"), "--cases", "60")
    calls.lines.clear()
    demo("--out", str(tmp_path / "demo"), "--cases", "60")
    assert calls.lines == expected(tmp_path / "demo")[1:]


def test_half_drawn_data_is_drawn_again(calls, tmp_path):
    out = tmp_path / "demo"
    calls.fails = "synth"
    with pytest.raises(demo_module.RunError, match="synth .* ended with status 1"):
        demo("--out", str(out), "--cases", "60")
    (out / "data").mkdir()
    (out / "data" / "half").touch()
    calls.fails = None
    demo("--out", str(out), "--cases", "60")
    assert not (out / "data").exists()
    assert calls.lines[1:] == expected(out)


def test_stops_at_the_first_verb_that_fails(calls, tmp_path):
    calls.fails = "check"
    with pytest.raises(demo_module.RunError, match=r"the demo stopped: amfam-tf check .* ended with status 1"):
        demo("--out", str(tmp_path / "demo"), "--cases", "60")
    assert [line[0] for line in calls.lines] == ["synth", "check"]


@pytest.mark.usefixtures("calls")
def test_another_size_in_the_same_folder_is_refused(tmp_path):
    out = tmp_path / "demo"
    demo("--out", str(out), "--cases", "60")
    with pytest.raises(demo_module.RunError) as caught:
        demo("--out", str(out), "--cases", "70")
    assert str(caught.value) == (f"{out} holds a demo of 60 cases: pass --cases 60 or name another folder with --out")


@pytest.mark.parametrize("content", [None, "", "[]", json.dumps({"cases": 60})])
def test_a_folder_of_something_else_is_left_alone(tmp_path, content, capsys):
    (tmp_path / "thesis.txt").touch()
    if content is not None:
        (tmp_path / demo_module.MARKER).write_text(content)
    assert main(["demo", "--out", str(tmp_path)]) == 1
    message = f"error: {tmp_path} is not empty and holds no demo: name another folder with --out\n"
    assert capsys.readouterr().err == message
    assert (tmp_path / "thesis.txt").exists()
