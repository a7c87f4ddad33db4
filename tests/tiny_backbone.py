"""Backbones of a few convolutions, for tests in which a real one's depth only takes time, or rounds differently."""

import keras
from keras import layers

from amfam_tf.models.backbones import STAGES, BackboneSpec


def tiny_backbone(image_size: int, title: str) -> keras.Model:
    """Returns RGB [B, S, S, 3] -> feature maps [B, S / 32, S / 32, 16], in place of a ResNet."""
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = inputs
    for number, filters in enumerate((8, 16)):
        x = layers.Conv2D(filters, 3, strides=4, padding="same", use_bias=False, name=f"conv_{number}")(x)
        x = layers.Activation("relu", name=f"relu_{number}")(layers.BatchNormalization(name=f"bn_{number}")(x))
    return keras.Model(inputs, layers.MaxPooling2D(2, name="pool")(x), name=title)


def tiny_staged_backbone(image_size: int, title: str) -> keras.Model:
    """Returns a network of one convolution a stage, in place of a ResNet of which a method takes the stages apart."""
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x, ends = inputs, {}
    for stage in range(STAGES):
        strides = 1 if stage == 1 else 2
        x = layers.Conv2D(16, 3, strides=strides, padding="same", use_bias=False, name=f"conv_{stage}")(x)
        x = layers.BatchNormalization(name=f"bn_{stage}")(x)
        x = layers.Activation("relu", name=f"relu_{stage}")(x)
        if stage == 0:
            x = layers.MaxPooling2D(2, name="pool1_pool")(x)
        else:
            ends[f"P{stage + 1}"] = f"relu_{stage}"
    model = keras.Model(inputs, x, name=title)
    model.pyramid_level_inputs = ends
    return model


TINY_BACKBONE = BackboneSpec("resnet", tiny_backbone)
TINY_STAGED_BACKBONE = BackboneSpec("resnet", tiny_staged_backbone)
TINY_INCEPTION = BackboneSpec("inception", tiny_backbone)
