"""Looks at a page in headless Chromium: at several widths at once, in frames, without the network."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *(
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        "--v=0",
    ),
    *("--virtual-time-budget=20000", "--host-resolver-rules=MAP * ~NOTFOUND"),
)
MEASURE = """
<script>
window.addEventListener("load", () => {
  const page = document.documentElement;
  const inScroller = (element) => element.closest(".scroll, pre") !== null;
  const wide = [...document.body.querySelectorAll("*")].filter((element) =>
    !inScroller(element) && element.getBoundingClientRect().right > page.clientWidth + 1);
  const outside = performance.getEntriesByType("resource").map((entry) => entry.name);
  parent.postMessage({
    width: page.clientWidth,
    scrollWidth: page.scrollWidth,
    wide: wide.map((element) => element.outerHTML.slice(0, 120)),
    pictures: document.images.length,
    broken: [...document.images].filter((image) => !image.naturalWidth).map((image) => image.alt),
    fetched: outside.filter((name) => !name.startsWith("data:")),
  }, "*");
});
</script>
"""
FRAMES = """<!DOCTYPE html><html><head><meta charset="utf-8"><link rel="icon" href="data:,"></head><body>{frames}
<pre id="found"></pre><script>
const found = [];
window.addEventListener("message", (event) => {{
  found.push(event.data);
  document.getElementById("found").textContent = JSON.stringify(found);
}});
</script></body></html>
"""


def find() -> str | None:
    """Returns the path of Chromium or Chrome; None if this machine has neither."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


def look(page: str, folder: Path, widths: tuple[int, ...]) -> tuple[dict[int, dict], list[str]]:
    """Returns what a page is like at each width, and the lines that it wrote to the console.

    Args:
        page: HTML text.
        folder: for temporary files.
        widths: of the frames that it is shown in, pixels.
    """
    (folder / "page.html").write_text(page.replace("</body>", f"{MEASURE}</body>"), encoding="utf-8")
    frames = "".join(
        f'<iframe src="page.html" width="{width}" height="800" style="border:0"></iframe>' for width in widths
    )
    (folder / "frames.html").write_text(FRAMES.format(frames=frames), encoding="utf-8")
    command = [find(), *FLAGS, f"--user-data-dir={folder / 'profile'}", "--window-size=1400,900", "--dump-dom"]
    done = subprocess.run(
        [*command, (folder / "frames.html").as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    text = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL).group(1)
    measured = {row["width"]: row for row in json.loads(html.unescape(text) or "[]")}
    return measured, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
