import keras
import pytest
from small import small_config

from amfam_tf import models
from amfam_tf.layers import AttentionMap, UpsampleConv2D
from benchmarks.work import step_gflop


def network(*layers_of_graph, shape):
    image = keras.Input(shape, name="image")
    outputs = image
    for layer in layers_of_graph:
        outputs = layer(outputs)
    return keras.Model({"image": image}, outputs)


@pytest.mark.parametrize(
    ("layer", "shape", "multiply_adds"),
    [
        (keras.layers.Conv2D(5, 3, strides=2, padding="same"), (8, 8, 2), 4 * 4 * 5 * 9 * 2),
        (keras.layers.Dense(7), (4,), 4 * 7),
        (UpsampleConv2D(5, 4), (3, 2, 6), 3 * 2 * 9 * 6 * 5),
        # Kernels c h w, c^2, c^2 / 2 twice, and the sum over channels.
        (AttentionMap((8, 8)), (2, 3, 4), 4 * 2 * 3 + 16 + 8 + 8 + 2 * 3 * 4),
    ],
)
def test_work_of_a_layer(layer, shape, multiply_adds):
    # Two operations each; forward, gradient of the input, gradient of the weights; a batch of 10.
    assert step_gflop(network(layer, shape=shape), 10) == pytest.approx(10 * 2 * 3 * multiply_adds / 1e9)


def test_upsampling_and_convolution_apart():
    model = network(UpsampleConv2D(5, 4), shape=(3, 2, 6))
    assert step_gflop(model, 1, merged=False) == pytest.approx(16 * step_gflop(model, 1))


def test_layers_inside_of_models_count_for_each_call():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(7)])
    inputs = {name: keras.Input((4,), name=name) for name in ("a", "b")}
    model = keras.Model(inputs, [inner(inputs["a"]), inner(inputs["b"])])
    assert step_gflop(model, 1) == pytest.approx(2 * 6 * 28 / 1e9)


def test_both_pictures_count_and_the_decoders_too():
    whole = models.create("amfam", small_config())
    without = models.create("amfam", small_config("model.reconstruction=false", "model.attention=none"))
    assert step_gflop(whole, 2) == pytest.approx(2 * step_gflop(whole, 1))
    assert step_gflop(whole, 1, merged=False) > step_gflop(whole, 1) > step_gflop(without, 1)
