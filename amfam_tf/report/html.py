"""Pages of HTML: one file each; no script, no network, pictures inside. `blocks.html.j2` writes a table."""

import base64
from dataclasses import dataclass
from typing import Any

import jinja2

from amfam_tf.report import notice
from amfam_tf.text import visible


@dataclass(frozen=True)
class Key:
    """A number of the summary: what it is, its value with interval ("" if it has none), what to hold it against."""

    title: str
    value: str
    interval: str
    beside: str


def render(package: str, template: str, content: dict[str, Any]) -> str:
    """Returns a page.

    Args:
        package: with the template in its folder `templates`.
        template: that extends `page.html.j2`.
        content: what it shows. Every page has `name`, `what`, `split`, `subtitle`, `keys`, `configuration`,
            `other_data` (why published values are of other cases, or None) and `contents` (id and title of each
            section), if its template does not set them.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in (package, "amfam_tf.report")]),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"tool": notice.TOOL, "says_nothing": notice.SAYS_NOTHING, "png": data_uri}
    return environment.get_template(template).render(content)


def _shown(value: Any) -> Any:
    """Returns what a page shows of a value: text whose marks of direction cannot turn around what stands beside it."""
    return visible(value, keep="\n\t") if type(value) is str else value


def data_uri(content: bytes, kind: str = "png") -> str:
    """Returns a picture as text that stands for its file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
