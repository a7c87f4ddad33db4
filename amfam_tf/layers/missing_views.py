"""Learned tokens for missing pictures, and modality dropout: in training, one of the two is taken as missing."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

PICTURE_AXES = (1, 2, 3)


@keras.saving.register_keras_serializable(package="amfam_tf")
class MissingViews(keras.layers.Layer):
    """Puts a learned token at each place of the features of a picture that is missing.

    A picture is missing if all its pixels are 0. In training, in each case with two pictures, with probability `rate`
    one of them, either as often, is taken as missing: never both. Its pixels still pass through what comes before, so
    that batch statistics stay those of real pictures.

    Call: {modality: pictures [B, S, S, 3]} of two modalities, {modality: features [B, ..., c]} ->
        {modality: features [B, ..., c], those of missing pictures the token [c] of the modality},
        {modality: 1 where the picture is there and 0 where it is missing, float32 [B]}.

    Args:
        rate: [0, 1].

    Source: Neverova et al. 2016, "ModDrop: adaptive multi-modal gesture recognition", Sec. 3.3, where features of a
    missing modality are 0; the tokens, which begin there, are ours.
    """

    def __init__(self, rate: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = rate
        # A seed of its own: what other layers draw is what they draw without this one.
        self.seed_generator = keras.random.SeedGenerator(0)

    def build(
        self,
        pictures_shape: Mapping[str, tuple[Any, ...]],
        features_shape: Mapping[str, tuple[Any, ...]],
    ) -> None:
        if len(pictures_shape) != 2 or set(pictures_shape) != set(features_shape):
            raise ValueError(
                "Two modalities are needed, the same of pictures and features. "
                f"Received: {sorted(pictures_shape)} and {sorted(features_shape)}"
            )
        self.tokens = {
            name: self.add_weight(name=f"token_{name}", shape=shape[-1:], initializer="zeros")
            for name, shape in features_shape.items()
        }

    def call(
        self, pictures: Mapping[str, Any], features: Mapping[str, Any], training: bool | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        there = {name: ops.any(ops.not_equal(value, 0), axis=PICTURE_AXES) for name, value in pictures.items()}
        given = self._after_dropout(there) if training else there
        seen = {
            name: ops.where(_along(given[name], value), value, ops.cast(self.tokens[name], value.dtype))
            for name, value in features.items()
        }
        return seen, {name: ops.cast(value, "float32") for name, value in given.items()}

    def _after_dropout(self, there: Mapping[str, Any]) -> dict[str, Any]:
        """Returns which pictures are left of those that are there, bool [B] by modality."""
        first, second = there
        drawn = keras.random.uniform(ops.shape(there[first]), seed=self.seed_generator, dtype="float32")
        both = ops.logical_and(there[first], there[second])
        without_first = ops.logical_and(both, drawn < self.rate / 2)
        without_second = ops.logical_and(both, ops.logical_and(drawn >= self.rate / 2, drawn < self.rate))
        return {
            first: ops.logical_and(there[first], ops.logical_not(without_first)),
            second: ops.logical_and(there[second], ops.logical_not(without_second)),
        }

    def compute_output_spec(
        self,
        pictures: Mapping[str, Any],
        features: Mapping[str, Any],
        training: bool | None = None,  # noqa: ARG002
    ) -> tuple[dict[str, keras.KerasTensor], dict[str, keras.KerasTensor]]:
        seen = {name: keras.KerasTensor(value.shape, dtype=value.dtype) for name, value in features.items()}
        return seen, {name: keras.KerasTensor(value.shape[:1], dtype="float32") for name, value in pictures.items()}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


def without_gradient_of_missing(features: Any, given: Any) -> Any:
    """Returns features [B, ..., c] as they are; no gradient goes to those of missing pictures.

    Args:
        features: of pictures.
        given: 1 where the picture is there, [B].
    """
    return ops.where(_along(ops.greater(given, 0), features), features, ops.stop_gradient(features))


def _along(cases: Any, values: Any) -> Any:
    """Returns a number per case [B] in a shape that goes with values [B, ...]."""
    return ops.reshape(cases, (-1, *[1] * (len(values.shape) - 1)))
