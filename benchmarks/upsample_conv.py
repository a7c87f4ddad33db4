"""Ways to compute nearest upsampling + 3 x 3 convolution, forward and backward, for the paper's decoder blocks.

    python -m benchmarks.upsample_conv                          the three blocks, batch 8, float32 and bfloat16
    python -m benchmarks.upsample_conv --way products --block 3 one way against the plain one

| way | multiply-adds per source pixel and channel pair, scale s |
| --- | --- |
| plain | 9 s^2: upsample, then convolve |
| parts | 25 (16 at s = 2): a small convolution with merged taps for each kind of row and column |
| transposed | (s + 2)^2: one transposed convolution with a merged kernel |
| products | 9: `amfam_tf.layers.upsample_conv`, what the decoders use |

Ways that take longer than --patience times the plain one are left out after their first call. All ways are compared
with the plain one first.
"""

from collections.abc import Callable
from dataclasses import dataclass

import click
import numpy as np
import tensorflow as tf

from amfam_tf.layers.upsample_conv import upsample_convolve
from benchmarks import turns

PLAIN = "plain"
TOLERANCE = {"float32": 1e-5, "bfloat16": 0.1}
"""Of the largest value; bfloat16 has three digits, and merged taps are rounded to it."""
Way = Callable[[tf.Tensor, tf.Tensor, int], tf.Tensor]


@dataclass(frozen=True)
class Block:
    """A decoder block: input [batch, side, side, channels], upsampling by `scale`, `filters` channels out."""

    side: int
    channels: int
    scale: int
    filters: int

    def __str__(self) -> str:
        return f"{self.side} x {self.side} x {self.channels}, x{self.scale}, {self.filters} filters"


BLOCKS = {"1": Block(10, 2048, 4, 128), "2": Block(40, 128, 4, 128), "3": Block(160, 128, 2, 64)}


def plain(images: tf.Tensor, kernel: tf.Tensor, scale: int) -> tf.Tensor:
    """The definition: [B, h, w, c] and [3, 3, c, d] to [B, h scale, w scale, d]."""
    upsampled = tf.repeat(tf.repeat(images, scale, axis=1), scale, axis=2)
    return tf.nn.conv2d(upsampled, kernel, strides=1, padding="SAME")


def parts(images: tf.Tensor, kernel: tf.Tensor, scale: int) -> tf.Tensor:
    """As `plain`, by a convolution with merged taps for each of up to nine kinds of output pixel."""
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])
    kinds = ["first", *["inner"] * (scale - 2), "last"]
    rows = {}
    for row in dict.fromkeys(kinds):
        results = {}
        for column in dict.fromkeys(kinds):
            merged = merge_taps(merge_taps(kernel, 0, row), 1, column)
            source = padded[:, WINDOWS[row], WINDOWS[column], :]
            results[column] = tf.nn.conv2d(source, merged, strides=1, padding="VALID")
        rows[row] = tf.stack([results[column] for column in kinds], axis=3)
    batch, height, width, _ = images.shape
    blocks = tf.stack([rows[row] for row in kinds], axis=2)
    return tf.reshape(blocks, [batch, height * scale, width * scale, kernel.shape[-1]])


WINDOWS = {"first": slice(0, -1), "inner": slice(1, -1), "last": slice(1, None)}


def merge_taps(kernel: tf.Tensor, axis: int, kind: str) -> tf.Tensor:
    """Returns the kernel with its three taps along `axis` added up to those of the source pixels that `kind` sees."""
    before, own, after = tf.split(kernel, 3, axis=axis)
    merged = {"first": [before, own + after], "inner": [before + own + after], "last": [before + own, after]}
    return tf.concat(merged[kind], axis=axis)


def transposed(images: tf.Tensor, kernel: tf.Tensor, scale: int) -> tf.Tensor:
    """As `plain`, by one transposed convolution of stride `scale`."""
    spread = spread_taps(spread_taps(kernel, 0, scale), 1, scale)
    batch, height, width, _ = images.shape
    return tf.nn.conv2d_transpose(
        images,
        tf.transpose(spread, [0, 1, 3, 2]),
        output_shape=[batch, height * scale, width * scale, kernel.shape[-1]],
        strides=scale,
        padding=[[0, 0], [1, 1], [1, 1], [0, 0]],
    )


def spread_taps(kernel: tf.Tensor, axis: int, scale: int) -> tf.Tensor:
    """Returns the kernel with its 3 taps along `axis` spread to scale + 2: flipped, then summed over shifts."""
    flipped = tf.reverse(kernel, [axis])
    paddings = [[[0, 0]] * axis + [[shift, scale - 1 - shift]] + [[0, 0]] * (3 - axis) for shift in range(scale)]
    return tf.add_n([tf.pad(flipped, padding) for padding in paddings])


WAYS: dict[str, Way] = {PLAIN: plain, "parts": parts, "transposed": transposed, "products": upsample_convolve}


@click.command()
@click.option("--block", "blocks", type=click.Choice([*BLOCKS]), multiple=True, help="Default: all three.")
@click.option("--precision", "precisions", type=click.Choice([*TOLERANCE]), multiple=True, help="Default: both.")
@click.option("--way", "ways", type=click.Choice([*WAYS]), multiple=True, help="Beside the plain one; default: all.")
@click.option("--batch", default=8, show_default=True, help="Images: a decoder sees those of one modality.")
@click.option("--turns", "count", default=5, show_default=True)
@click.option("--patience", default=3.0, show_default=True, help="Leave out what takes so many times the plain one's.")
def main(
    blocks: tuple[str, ...],
    precisions: tuple[str, ...],
    ways: tuple[str, ...],
    batch: int,
    count: int,
    patience: float,
) -> None:
    """Print milliseconds of every way, forward and backward, and how many times faster than the plain one it is."""
    click.echo(turns.machine())
    for name in blocks or BLOCKS:
        for precision in precisions or TOLERANCE:
            chosen = {way: WAYS[way] for way in (PLAIN, *(ways or WAYS))}
            click.echo(f"\nblock {name}: {BLOCKS[name]}, batch {batch}, {precision}")
            measure(BLOCKS[name], precision, batch, chosen, count, patience)


def measure(block: Block, precision: str, batch: int, ways: dict[str, Way], count: int, patience: float) -> None:
    """Prints one table."""
    tensors = random_tensors(block, precision, batch)
    calls, errors, expected, slowest = {}, {}, None, 0.0
    for name, way in ways.items():
        call = forward_and_backward(way, tensors, block.scale)
        results = call()
        expected = expected or results
        errors[name] = max(relative_error(*pair) for pair in zip(results, expected, strict=True))
        if errors[name] > TOLERANCE[precision]:
            raise click.ClickException(f"{name} differs from {PLAIN} by {errors[name]:.1e} of the largest value")
        del results
        seconds = turns.seconds_of(call)
        slowest = seconds * patience if name == PLAIN else slowest
        if seconds > slowest:
            click.echo(f"{name}: left out, {1e3 * seconds:.0f} ms")
            continue
        calls[name] = lambda call=call: turns.seconds_of(call)
    medians = turns.medians(turns.take_turns(calls, count))
    rows = [
        [name, f"{1e3 * value:.0f}", f"{medians[PLAIN] / value:.2f}", f"{errors[name]:.1e}"]
        for name, value in medians.items()
    ]
    click.echo(turns.load())
    click.echo(turns.table(["way", "ms", "times plain", "largest error, relative"], rows))


def random_tensors(block: Block, precision: str, batch: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns images, kernel and the gradient of the output."""
    random = np.random.default_rng(0)
    side = block.side * block.scale
    shapes = (
        (batch, block.side, block.side, block.channels),
        (3, 3, block.channels, block.filters),
        (batch, side, side, block.filters),
    )
    return tuple(tf.cast(random.standard_normal(shape, np.float32), precision) for shape in shapes)


def forward_and_backward(way: Way, tensors: tuple[tf.Tensor, ...], scale: int) -> Callable[[], list[tf.Tensor]]:
    """Returns the call that gives output, gradient of the images and gradient of the kernel."""

    @tf.function(autograph=False)
    def compute(images: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            outputs = way(images, kernel, scale)
        return [outputs, *tape.gradient(outputs, [images, kernel], upstream)]

    return lambda: compute(*tensors)


def relative_error(value: tf.Tensor, expected: tf.Tensor) -> float:
    """Returns the largest difference, relative to the largest value."""
    value, expected = tf.cast(value, tf.float32), tf.cast(expected, tf.float32)
    return float(tf.reduce_max(tf.abs(value - expected)) / tf.reduce_max(tf.abs(expected)))


if __name__ == "__main__":
    main()
