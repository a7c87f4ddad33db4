"""How much damage inside a JPEG `check` and `ingest` find: a drawn picture, five kinds of JPEG, places drawn too.

    python -m benchmarks.jpeg_damage [--tries 100]

Found is what `amfam_tf.data.picture_file.judge` refuses. What is not found does not show, or leaves a valid stream
of codes, which nobody can tell from a picture.
"""

import io
import random
from collections.abc import Callable

import click
from PIL import Image

from amfam_tf.data import picture_file
from amfam_tf.data.synthetic import draw_case
from amfam_tf.errors import DataError
from benchmarks import turns

SIZE = (768, 512)
KINDS = {
    "baseline": {"quality": 90},
    "progressive": {"quality": 90, "progressive": True},
    "restarts": {"quality": 90, "restart_marker_rows": 1},
    "4:4:4": {"quality": 90, "subsampling": 0},
    "optimised": {"quality": 75, "optimize": True},
}
LENGTHS = (4, 64, 512)
CUTS = (1, 64, 4096)
Damage = Callable[[bytes, int, random.Random], bytes]


def replaced(data: bytes, place: int, content: bytes, cut: int | None = None) -> bytes:
    """Returns the bytes with `content` in place of `cut` of them, by default as many."""
    return data[:place] + content + data[place + (len(content) if cut is None else cut) :]


def one_bit(data: bytes, place: int, draw: random.Random) -> bytes:
    """Returns the bytes with one bit changed."""
    return replaced(data, place, bytes([data[place] ^ 1 << draw.randrange(8)]))


def damages() -> dict[str, Damage]:
    """Returns what is done to the bytes from a place on, by name."""
    found: dict[str, Damage] = {
        "a marker": lambda data, place, _: replaced(data, place, b"\xff\xd3\0\x11"),
        "an end": lambda data, place, _: replaced(data, place, b"\xff\xd9"),
    }
    for length in LENGTHS:
        found[f"{length} bytes of zeros"] = lambda data, place, _, n=length: replaced(data, place, bytes(n))
    for length in CUTS:
        found[f"{length} bytes cut out"] = lambda data, place, _, n=length: replaced(data, place, b"", n)
    for length in LENGTHS:
        found[f"{length} random bytes"] = lambda data, place, draw, n=length: replaced(data, place, draw.randbytes(n))
    return found | {"one bit": one_bit}


def jpeg(options: dict[str, object]) -> bytes:
    """Returns the drawn picture as a file."""
    file = io.BytesIO()
    Image.fromarray(draw_case({"diagnosis": "melanoma"}, size=SIZE)[0]).save(file, "JPEG", **options)
    return file.getvalue()


def is_found(data: bytes) -> bool:
    """Says whether a file is refused."""
    try:
        picture_file.judge(data)
    except DataError:
        return True
    return False


def count_found(data: bytes, damage: Damage, tries: int) -> int:
    """Returns how often damage is found, at places in the middle 80 % of the compressed pixels."""
    draw, start = random.Random(0), data.index(b"\xff\xda") + 14
    length = len(data) - start
    places = [draw.randrange(start + length // 10, start + 9 * length // 10) for _ in range(tries)]
    return sum(is_found(damage(data, place, draw)) for place in places)


@click.command()
@click.option(
    "--tries", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Of each damage and kind."
)
def main(tries: int) -> None:
    """Prints how many of the damaged files are refused, by damage and kind of JPEG."""
    files = {name: jpeg(options) for name, options in KINDS.items()}
    rows = [
        [name, *(str(count_found(data, damage, tries)) for data in files.values())]
        for name, damage in damages().items()
    ]
    print(
        f"found of {tries} each, {SIZE[0]} x {SIZE[1]} pixels; undamaged: {[is_found(data) for data in files.values()]}"
    )
    print(turns.table(["damage", *files], rows))


if __name__ == "__main__":
    main()
