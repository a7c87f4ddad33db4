"""A backbone of two convolutions, for tests in which the depth of a real one only takes time, or rounds differently."""

import keras
from keras import layers

from amfam_tf.models.backbones import BackboneSpec


def tiny_backbone(image_size: int, title: str) -> keras.Model:
    """Returns RGB [B, S, S, 3] -> feature maps [B, S / 32, S / 32, 16], in place of a ResNet."""
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = inputs
    for number, filters in enumerate((8, 16)):
        x = layers.Conv2D(filters, 3, strides=4, padding="same", use_bias=False, name=f"conv_{number}")(x)
        x = layers.Activation("relu", name=f"relu_{number}")(layers.BatchNormalization(name=f"bn_{number}")(x))
    return keras.Model(inputs, layers.MaxPooling2D(2, name="pool")(x), name=title)


TINY_BACKBONE = BackboneSpec("resnet", tiny_backbone)
