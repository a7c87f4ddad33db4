"""What holds the project together beside the code: packages, pins, documents that say what is so."""

import configparser
import importlib.metadata
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import amfam_tf
from amfam_tf import config
from amfam_tf.cli.main import VERBS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "amfam_tf"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "saved_models" / "README.md"])
PINNED_PYTHONS = ("3.11", "3.12", "3.13")


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def requirements() -> list[Requirement]:
    """Returns the requirements of the package and of all extras."""
    parser = setup()
    texts = [parser["options"]["install_requires"], *parser["options.extras_require"].values()]
    return [Requirement(line) for text in texts for line in text.split("\n") if line]


def constraints() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def flat(tree: dict, prefix: str = "") -> dict:
    """Returns the values of a nested mapping by dotted key."""
    values = {}
    for key, value in tree.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return values


def command_lines(text: str) -> list[list[str]]:
    """Returns the words after `amfam-tf` of each command in a document."""
    text = text.replace("\\\n", " ")  # a command may go on in the next line
    found = re.findall(r"^    amfam-tf ([^#\n]*)", text, re.MULTILINE) + re.findall(r"`amfam-tf ([^`]*)`", text)
    return [shlex.split(line) for line in found]


def test_version_is_that_of_the_installed_package():
    assert importlib.metadata.version("amfam-tf") == amfam_tf.__version__


def test_console_script_is_the_command_line():
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="amfam-tf")
    assert script.value == "amfam_tf.cli.main:main"


def test_every_file_of_the_package_is_installed():
    globs = [line for line in setup()["options.package_data"]["amfam_tf"].split("\n") if line]
    declared = {path for pattern in globs for path in PACKAGE.glob(pattern)}
    present = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}}
    assert present <= declared
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert all((folder / "__init__.py").is_file() for folder in folders)


def test_constraints_are_exact_versions_from_anywhere():
    text = (ROOT / "constraints.txt").read_text()
    assert not re.search(r"https?:|file:/|@|^-|/work|/home", text, re.MULTILINE)
    for line in constraints():
        assert re.fullmatch(r"==[^*,]+", str(line.specifier)), line


@pytest.mark.parametrize("python", PINNED_PYTHONS)
def test_constraints_pin_every_requirement_within_its_range(python):
    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    pins = [line for line in constraints() if line.marker is None or line.marker.evaluate(environment)]
    versions = {canonicalize_name(line.name): str(line.specifier).removeprefix("==") for line in pins}
    assert len(versions) == len(pins)
    for requirement in requirements():
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


def test_python_versions_are_stated_once_and_the_same():
    assert setup()["options"]["python_requires"] == ">=3.11,<3.14"
    classifiers = setup()["metadata"]["classifiers"]
    assert re.findall(r"Python :: (3\.\d+)", classifiers) == list(PINNED_PYTHONS)


def test_supported_systems_are_those_that_it_was_tried_on():
    systems = re.findall(r"Operating System :: (.+)", setup()["metadata"]["classifiers"])
    assert systems == ["POSIX :: Linux"]
    assert "Needs Linux, python3" in (ROOT / "README.md").read_text()


def test_types_are_checked_strictly_and_nothing_is_left_out():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert settings["strict"]
    assert not {"exclude", "ignore_errors", "follow_imports", "disable_error_code"} & set(settings)
    for override in settings["overrides"]:
        assert set(override) == {"module", "ignore_missing_imports"}
        assert not [name for name in override["module"] if name.startswith(("*", "amfam_tf"))]
    rule = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    assert "\t$(BIN)/python -m mypy\n" in rule + "\n"
    bare = [path for path in PACKAGE.rglob("*.py") if re.search(r"type: ignore(?!\[)", path.read_text())]
    assert not bare


def test_pre_commit_uses_the_pinned_ruff():
    pinned = next(str(line.specifier) for line in constraints() if line.name == "ruff")
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {repo["repo"] for repo in hooks} == {"local"}
    used = {item for hook in hooks[0]["hooks"] for item in hook["additional_dependencies"]}
    assert used == {f"ruff{pinned}"}


def test_citation_names_this_version_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == amfam_tf.__version__
    assert citation["license"] == setup()["metadata"]["license"] == "Apache-2.0"
    assert [item["doi"] for item in citation["references"]][0] == "10.1016/j.media.2022.102535"


def test_licence_is_whole():
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "limitations under the License." in text


def test_continuous_integration_runs_the_test_command_of_the_readme():
    assert re.search(r"^    make test  ", (ROOT / "README.md").read_text(), re.MULTILINE)
    script = ROOT / ".ci" / "run"
    assert re.search(r"^exec make test <", script.read_text(), re.MULTILINE)
    assert script.stat().st_mode & 0o111


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_of_the_documents_exist(document):
    text = document.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b(?=[ `\n])", "\n".join(re.findall(r"^    .*|`[^`]*`", text)))) <= targets
    for words in command_lines(text):
        if words and words[0] not in {"VERB", "export"}:
            assert words[0].startswith("-") or words[0] in VERBS, words


def test_readme_lists_every_verb():
    verbs = {words[0] for words in command_lines((ROOT / "README.md").read_text()) if words}
    assert set(VERBS) <= verbs


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_the_documents_lead_somewhere(document):
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text())
    for link in links:
        if not link.startswith("https://"):
            assert (document.parent / link.partition("#")[0]).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_options_that_the_documents_set_are_possible(document):
    for words in command_lines(document.read_text()):
        overrides = [
            value for option, value in zip(words, words[1:], strict=False) if option == "--set" and "=" in value
        ]
        overrides = [value for value in overrides if value != "key=value"]
        config.load("paper", overrides)


def test_configuration_document_has_every_key_with_its_default():
    text = (ROOT / "docs" / "configuration.md").read_text()
    stated = dict(re.findall(r"^\| `([a-z0-9_.]+)` \| `([^`]*)` \|", text, re.MULTILINE))
    defaults = flat(config.to_dict(config.Config()))
    assert stated.keys() == defaults.keys()
    values = flat(config.to_dict(config.load("paper", [f"{key}={value}" for key, value in stated.items()])))
    assert values == defaults


def test_method_document_names_only_keys_and_defaults_that_exist():
    text = (ROOT / "docs" / "method.md").read_text()
    defaults = flat(config.to_dict(config.Config()))
    sections = "|".join({key.partition(".")[0] for key in defaults if "." in key})
    named = set(re.findall(rf"`((?:{sections})\.[a-z0-9_]+)`", text))
    assert named <= defaults.keys()
    choices = text.partition("## Open points")[2]
    rows = re.findall(r"^\| [^|]+ \| (`[a-z_]+\.[^|]+) \| ([^|]+) \|", choices, re.MULTILINE)
    assert len(rows) >= 15
    for keys, stated in rows:
        for key, value in zip(re.findall(r"`([^`]+)`", keys), re.findall(r"`([^`]+)`", stated), strict=False):
            assert flat(config.to_dict(config.load("paper", [f"{key}={value}"])))[key] == defaults[key], key
