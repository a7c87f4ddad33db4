"""Encoded pictures of a request to squares, in the graph.

`prepare_pictures` names a picture that cannot be used by input and index: the pictures go through a stream that leaves
out those whose decoding fails, so that what is missing can be told. An error of the decoding op itself would not say
which of the request's pictures it was about. Making that stream costs as much processor time as decoding two pictures:
`prepare_good_pictures` does without it, for a server that can ask again when it fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import tensorflow as tf

from amfam_tf.config import DataConfig
from amfam_tf.data import images

PARALLEL = 2
"""Pictures of one request that are decoded at a time; a server has other requests to spread over its cores."""


@dataclass(frozen=True)
class Preparation:
    """How files become squares.

    Attributes:
        image_size: S, side of the squares, pixels.
        border_crop: pixels cut from every side before resizing.
        max_pixels: a picture with more is refused before it is decoded.
        one_picture: a pair may have one picture only: an empty string becomes a square of zeros, which is no picture.
    """

    image_size: int
    border_crop: int
    max_pixels: int
    one_picture: bool = False

    @classmethod
    def of(cls, config: DataConfig, one_picture: bool = False) -> "Preparation":
        """Returns what the run's pictures went through."""
        return cls(config.image_size, config.border_crop, config.max_pixels, one_picture)

    def square(self, encoded: tf.Tensor) -> tf.Tensor:
        """Returns one picture, uint8 [S, S, 3], of the bytes of an image file, string []."""

        def decoded() -> tf.Tensor:
            return images.prepare_image(encoded, self.image_size, self.border_crop, self.max_pixels)

        if not self.one_picture:
            return decoded()
        return tf.cond(encoded == "", lambda: tf.zeros((self.image_size, self.image_size, 3), tf.uint8), decoded)


def prepare_pictures(encoded: Mapping[str, tf.Tensor], preparation: Preparation) -> dict[str, tf.Tensor]:
    """Returns {input: uint8 [B, S, S, 3]} of {input: bytes of image files, string [B]}; B may be 0.

    Raises:
        tf.errors.InvalidArgumentError: inputs of different lengths, a picture that cannot be used: the first one,
            by the name of its input and its index from 0, and why; or a pair without a picture.
    """
    with tf.control_dependencies([check_same_length(encoded)]):
        everything = tf.concat(list(encoded.values()), axis=0)
    numbers, pictures = _readable(everything, preparation)
    with tf.control_dependencies([_refuse_unreadable(numbers, everything, list(encoded), preparation)]):
        parts = tf.split(pictures, len(encoded), axis=0)
    return with_a_picture(dict(zip(encoded, parts, strict=True)), preparation)


def prepare_good_pictures(encoded: Mapping[str, tf.Tensor], preparation: Preparation) -> dict[str, tf.Tensor]:
    """Returns what `prepare_pictures` returns, with less work; an error does not say which picture it is about.

    Raises:
        tf.errors.InvalidArgumentError: inputs of different lengths, a picture that cannot be used, or a pair without a
            picture.
    """
    size = preparation.image_size
    with tf.control_dependencies([check_same_length(encoded)]):
        everything = tf.concat(list(encoded.values()), axis=0)
    square = tf.TensorSpec((size, size, 3), tf.uint8)
    pictures = tf.map_fn(preparation.square, everything, fn_output_signature=square)
    squares = dict(zip(encoded, tf.split(pictures, len(encoded), axis=0), strict=True))
    return with_a_picture(squares, preparation)


def with_a_picture(squares: Mapping[str, tf.Tensor], preparation: Preparation) -> dict[str, tf.Tensor]:
    """Returns squares, uint8 [B, S, S, 3] by input; where one of a pair may be missing, checks that not both are.

    Raises:
        tf.errors.InvalidArgumentError: a pair without a picture, the first one, by its index from 0.
    """
    if not preparation.one_picture:
        return dict(squares)
    found = [tf.reduce_any(square != 0, axis=(1, 2, 3)) for square in squares.values()]
    good = tf.reduce_any(tf.stack(found), axis=0)
    index = tf.argmin(tf.concat([tf.cast(good, tf.int32), [0]], axis=0), output_type=tf.int32)
    first, *others = squares
    where = ["input ", first, ", index ", tf.strings.as_string(index), ": "]
    why = f"the picture is missing (empty, or black throughout), and so is {' and '.join(others)}: give one of them"
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(good), [tf.strings.join([*where, why])])]):
        return {name: tf.identity(square) for name, square in squares.items()}


def check_same_length(inputs: Mapping[str, tf.Tensor]) -> tf.Operation:
    """Returns the check that all inputs have as many entries as the first: otherwise cases would be mixed up."""
    lengths = {name: tf.shape(value)[0] for name, value in inputs.items()}
    first = next(iter(lengths.values()))
    data = [item for name, length in lengths.items() for item in (f"{name}:", length)]
    same = tf.reduce_all([length == first for length in lengths.values()])
    return tf.debugging.Assert(same, ["the inputs must have the same length. Received:", *data])


def _readable(encoded: tf.Tensor, preparation: Preparation) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the positions int64 [n] of the pictures that can be used, and them, uint8 [n, S, S, 3]."""
    size = preparation.image_size

    def prepare(number: tf.Tensor, picture: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return number, preparation.square(picture)

    stream = tf.data.Dataset.from_tensor_slices(encoded).enumerate()
    stream = stream.map(tf.autograph.experimental.do_not_convert(prepare), num_parallel_calls=PARALLEL)
    nothing = (tf.zeros([0], tf.int64), tf.zeros([0, size, size, 3], tf.uint8))
    # All in one batch; the empty one is for a stream without a picture.
    batch = stream.ignore_errors().batch(tf.int32.max).concatenate(tf.data.Dataset.from_tensors(nothing)).take(1)
    return _without_overhead(batch).get_single_element()


def _without_overhead(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    # The stream is made anew for each request: tuning it costs more than it could win.
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.with_options(options)


def _refuse_unreadable(
    numbers: tf.Tensor, encoded: tf.Tensor, names: list[str], preparation: Preparation
) -> tf.Operation:
    """Returns the check that no position is missing in `numbers`, sorted int64 [n]."""
    total = tf.size(encoded)
    is_complete = tf.size(numbers) == total

    def describe() -> tf.Tensor:
        # The first position that differs from its own number is the first that is missing.
        found = tf.concat([tf.cast(numbers, tf.int32), [tf.int32.max]], axis=0)
        position = tf.argmax(tf.cast(found != tf.range(tf.size(found)), tf.int32), output_type=tf.int32)
        each = total // len(names)
        where = [tf.gather(names, position // each), ", index ", tf.strings.as_string(position % each)]
        return tf.strings.join(["input ", *where, ": the picture ", _why(encoded[position], preparation)])

    message = tf.cond(is_complete, lambda: "", describe)
    return tf.debugging.Assert(is_complete, [message])


def _why(encoded: tf.Tensor, preparation: Preparation) -> tf.Tensor:
    """Returns why a picture that could not be prepared was refused, string []; completes "the picture ..."."""
    most, crop = preparation.max_pixels, preparation.border_crop
    reader = tf.autograph.experimental.do_not_convert(images.picture_size)
    stated = tf.data.Dataset.from_tensors(encoded).map(reader).ignore_errors()
    unknown = tf.data.Dataset.from_tensors(tf.constant([-1.0, -1.0], tf.float64))
    size = _without_overhead(stated.concatenate(unknown).take(1)).get_single_element()
    return tf.case(
        [
            (~images.is_known_format(encoded), lambda: images.describe_other_format(encoded)),
            (size[0] * size[1] > most, lambda: tf.constant(f"has more than {most} pixels")),
            (
                (size[0] > 0) & (tf.reduce_min(size) <= 2 * crop),
                lambda: tf.constant(f"has nothing left after cutting border_crop={crop} pixels from every side"),
            ),
        ],
        default=lambda: tf.constant("is damaged or of a kind that cannot be read"),
        exclusive=False,
    )
