"""YAML in which a number is a number and a word is a word.

YAML 1.1, which PyYAML reads, takes 010 for 8, 1:30 for 90, 1_0 for 10, yes and off for truth values, and 1e-5 for text.
Here, as in YAML 1.2, a plain scalar is null, true, false, a decimal number, or else text; the type that a key has then
refuses what it cannot be. A key that stands twice in a mapping is an error.
"""

import re
from collections.abc import Callable, Hashable
from typing import Any

import yaml

from amfam_tf.errors import ConfigError, one_line

_TAG = "tag:yaml.org,2002:"
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
# 40 digits: longer ones are no number that anything here could be.
_INT = re.compile(r"-?(0|[1-9][0-9]{0,39})")
_FLOAT = re.compile(
    r"-?((0|[1-9][0-9]{0,39})(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,9})?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)


def parse(text: str, source: str) -> Any:
    """Returns the content of a YAML text.

    Args:
        text: one document.
        source: what to call it in an error.

    Raises:
        ConfigError: it is not valid YAML.
    """
    try:
        return yaml.load(text, Loader)
    except RecursionError as error:
        raise ConfigError(f"{source} is not valid YAML: it is nested too deeply") from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise ConfigError(f"{source} is not valid YAML: {one_line(error)[:300]}") from error


def dump(tree: Any) -> str:
    """Returns plain values as YAML that `parse` and every other reader of YAML take for the same."""
    return yaml.dump(tree, Dumper=Dumper, sort_keys=False)


def shown(value: Any) -> str:
    """Returns a received value for an error: its repr, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class Loader(yaml.SafeLoader):
    """Reads plain scalars as YAML 1.2 does."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuses a key that stands twice; merges as ever."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = (key_node.tag, key_node.value) if isinstance(key_node, yaml.ScalarNode) else None
            if key is not None and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key_node.value!r} stands twice")
            seen.add(key)
        super().flatten_mapping(node)


class Dumper(yaml.SafeDumper):
    """Also quotes text that only `Loader` takes for a number."""

    yaml_implicit_resolvers = {key: list(value) for key, value in yaml.SafeDumper.yaml_implicit_resolvers.items()}

    def ignore_aliases(self, data: Any) -> bool:
        """Writes equal lists twice, without anchors."""
        del data
        return True


def _resolve(name: str, pattern: re.Pattern[str], first: str) -> None:
    whole = re.compile(rf"(?:{pattern.pattern})\Z")
    for kind in (Loader, Dumper):
        kind.add_implicit_resolver(f"{_TAG}{name}", whole, list(first))


def _construct(name: str, pattern: re.Pattern[str], convert: Callable[[str], Any]) -> None:
    """Makes an explicit tag, e.g. `!!int "010"`, as strict as a plain scalar."""

    def construct(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
        text = loader.construct_scalar(node)
        if not pattern.fullmatch(text):
            raise yaml.constructor.ConstructorError(None, None, f"{shown(text)} is no {name}", node.start_mark)
        return convert(text)

    Loader.add_constructor(f"{_TAG}{name}", construct)


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_resolve("null", _NULL, "~nN")
Loader.add_implicit_resolver(f"{_TAG}null", re.compile(r"\Z"), [""])
_resolve("bool", _BOOL, "tTfF")
_resolve("int", _INT, "-0123456789")
_resolve("float", _FLOAT, "-+0123456789.")
Loader.add_implicit_resolver(f"{_TAG}merge", re.compile(r"<<\Z"), ["<"])
_construct("bool", _BOOL, lambda text: text.lower() == "true")
_construct("int", _INT, int)
_construct("float", _FLOAT, _float)
