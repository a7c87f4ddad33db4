"""A narrow Inception network for images of 64 to 128 pixels, after Szegedy et al. 2016 (Inception-V3).

The modules are theirs: parallel 1 x 1, 3 x 3, double 3 x 3 and pooled branches; 7 x 7 factorised into 1 x 7 and 7 x 1;
grid reduction by a strided convolution beside a pooling; at the end 3 x 3 spread over 1 x 3 and 3 x 1. Ours: one module
of each kind, few channels, and padding everywhere, because a small image has no border to give away.
"""

import keras
from keras import KerasTensor as Tensor
from keras import layers


def narrow_inception(image_size: int, title: str) -> keras.Model:
    """Returns RGB in [0, 1] [B, image_size, image_size, 3] -> feature maps [B, h, w, 512], h about image_size / 16."""
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Rescaling(2.0, offset=-1.0, name="to_symmetric_range")(inputs)
    x = _convolve(x, 16, (3, 3), "stem_1", strides=2)
    x = _convolve(x, 32, (3, 3), "stem_2")
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)
    x = _square_module(x, "square")
    x = _reduce_after_square(x, "square_reduction")
    x = _factorised_module(x, "factorised")
    x = _reduce_after_factorised(x, "factorised_reduction")
    x = _spread_module(x, "spread")
    return keras.Model(inputs, x, name=title)


def _convolve(x: Tensor, filters: int, kernel: tuple[int, int], name: str, strides: int = 1) -> Tensor:
    """Returns convolution, batch norm and ReLU of maps [B, h, w, c]."""
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(scale=False, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)


def _chain(x: Tensor, steps: list[tuple[int, tuple[int, int]]], name: str, strides: int = 1) -> Tensor:
    """Returns the convolutions one after the other, the last one with `strides`."""
    for number, (filters, kernel) in enumerate(steps, start=1):
        x = _convolve(x, filters, kernel, f"{name}_{number}", strides if number == len(steps) else 1)
    return x


def _pooled(x: Tensor, filters: int, name: str) -> Tensor:
    x = layers.AveragePooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    return _convolve(x, filters, (1, 1), name)


def _square_module(x: Tensor, name: str) -> Tensor:
    """-> 128 channels: 1 x 1, 3 x 3, double 3 x 3, pool."""
    branches = [
        _convolve(x, 32, (1, 1), f"{name}_one"),
        _chain(x, [(24, (1, 1)), (32, (3, 3))], f"{name}_three"),
        _chain(x, [(24, (1, 1)), (32, (3, 3)), (32, (3, 3))], f"{name}_double"),
        _pooled(x, 32, f"{name}_pooled"),
    ]
    return layers.Concatenate(name=name)(branches)


def _reduce_after_square(x: Tensor, name: str) -> Tensor:
    """-> half the size, 128 + 128 channels."""
    branches = [
        _convolve(x, 64, (3, 3), f"{name}_three", strides=2),
        _chain(x, [(32, (1, 1)), (48, (3, 3)), (64, (3, 3))], f"{name}_double", strides=2),
        layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(x),
    ]
    return layers.Concatenate(name=name)(branches)


def _factorised_module(x: Tensor, name: str) -> Tensor:
    """-> 256 channels: 1 x 1, 1 x 7 and 7 x 1, the same twice, pool."""
    branches = [
        _convolve(x, 64, (1, 1), f"{name}_one"),
        _chain(x, [(48, (1, 1)), (48, (1, 7)), (64, (7, 1))], f"{name}_seven"),
        _chain(x, [(32, (1, 1)), (32, (7, 1)), (32, (1, 7)), (32, (7, 1)), (64, (1, 7))], f"{name}_double"),
        _pooled(x, 64, f"{name}_pooled"),
    ]
    return layers.Concatenate(name=name)(branches)


def _reduce_after_factorised(x: Tensor, name: str) -> Tensor:
    """-> half the size, 160 + 256 channels."""
    branches = [
        _chain(x, [(48, (1, 1)), (96, (3, 3))], f"{name}_three", strides=2),
        _chain(x, [(32, (1, 1)), (32, (1, 7)), (48, (7, 1)), (64, (3, 3))], f"{name}_seven", strides=2),
        layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(x),
    ]
    return layers.Concatenate(name=name)(branches)


def _spread_module(x: Tensor, name: str) -> Tensor:
    """-> 512 channels: 1 x 1, 1 x 3 beside 3 x 1, the same after 3 x 3, pool."""
    three = _convolve(x, 64, (1, 1), f"{name}_three")
    double = _chain(x, [(64, (1, 1)), (64, (3, 3))], f"{name}_double")
    branches = [
        _convolve(x, 64, (1, 1), f"{name}_one"),
        _convolve(three, 96, (1, 3), f"{name}_three_wide"),
        _convolve(three, 96, (3, 1), f"{name}_three_high"),
        _convolve(double, 96, (1, 3), f"{name}_double_wide"),
        _convolve(double, 96, (3, 1), f"{name}_double_high"),
        _pooled(x, 64, f"{name}_pooled"),
    ]
    return layers.Concatenate(name=name)(branches)
