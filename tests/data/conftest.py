"""What the tests of the input pipelines share."""

import pytest
import tensorflow as tf

from amfam_tf.data import images


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Returns a list that grows by one with each picture that is decoded."""
    counted: list[int] = []
    prepare_image = images.prepare_image

    def prepare_and_count(encoded: tf.Tensor, *settings: int) -> tf.Tensor:
        def count(data: bytes) -> bytes:
            counted.append(len(data))
            return data

        counting = tf.ensure_shape(tf.numpy_function(count, [encoded], tf.string), ())
        return prepare_image(counting, *settings)

    monkeypatch.setattr(images, "prepare_image", prepare_and_count)
    return counted
