import keras
import numpy as np
import pytest

from amfam_tf.config import OptimizerConfig
from amfam_tf.training.optimizers import CoupledAdam, create_optimizer


def adam_by_hand(value, gradients, *, learning_rate, l2, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    """Adam with L2 in the gradient, written from the paper's algorithm."""
    first, second = 0.0, 0.0
    for step, gradient in enumerate(gradients, start=1):
        gradient = gradient + l2 * value
        first = beta_1 * first + (1 - beta_1) * gradient
        second = beta_2 * second + (1 - beta_2) * gradient**2
        value = value - learning_rate * (first / (1 - beta_1**step)) / (np.sqrt(second / (1 - beta_2**step)) + epsilon)
    return value


def test_coupled_steps_by_hand():
    variable = keras.Variable(np.array([1.0, -2.0, 0.5], np.float32), name="kernel")
    optimizer = CoupledAdam(learning_rate=0.1, l2=0.5, epsilon=1e-8)
    gradients = [np.array([0.3, -0.1, 0.0], np.float32), np.array([-0.2, 0.4, 0.1], np.float32)]
    for gradient in gradients:
        optimizer.apply_gradients([(keras.ops.convert_to_tensor(gradient), variable)])
    expected = adam_by_hand(np.array([1.0, -2.0, 0.5]), gradients, learning_rate=0.1, l2=0.5)
    np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-4)


def test_l2_is_not_decoupled():
    # With a gradient of zero, coupled L2 is the only gradient: Adam normalises it to a step of about the learning
    # rate, whatever its size. AdamW would shrink the variable by learning_rate * l2 instead.
    variable = keras.Variable(np.array([4.0], np.float32), name="kernel")
    CoupledAdam(learning_rate=0.1, l2=1e-3).apply_gradients([(keras.ops.zeros(1), variable)])
    assert float(variable.numpy()[0]) == pytest.approx(3.9, abs=1e-3)


@pytest.mark.parametrize("name", ["gamma", "beta", "bias"])
def test_norm_and_bias_can_be_left_out(name):
    layer_variable = keras.Variable(np.array([4.0], np.float32), name=name)
    kernel = keras.Variable(np.array([4.0], np.float32), name="kernel")
    config = OptimizerConfig(learning_rate=0.1, weight_decay=1e-3, exclude_norm_and_bias=True)
    optimizer = create_optimizer(config, steps_per_epoch=1, epochs=1)
    optimizer.apply_gradients([(keras.ops.zeros(1), layer_variable), (keras.ops.zeros(1), kernel)])
    assert float(layer_variable.numpy()[0]) == 4.0
    assert float(kernel.numpy()[0]) < 3.95


def test_decoupled_is_adamw():
    config = OptimizerConfig(learning_rate=0.1, weight_decay=0.5, weight_decay_mode="decoupled")
    optimizer = create_optimizer(config, steps_per_epoch=1, epochs=1)
    variable = keras.Variable(np.array([4.0], np.float32), name="kernel")
    optimizer.apply_gradients([(keras.ops.zeros(1), variable)])
    assert float(variable.numpy()[0]) == pytest.approx(4.0 * (1 - 0.1 * 0.5), rel=1e-5)


def test_gradients_are_clipped_by_their_global_norm():
    config = OptimizerConfig(learning_rate=0.1, weight_decay=0.0, clip_norm=1.0, beta_1=0.0, beta_2=0.0, epsilon=1.0)
    optimizer = create_optimizer(config, steps_per_epoch=1, epochs=1)
    first, second = (keras.Variable(np.zeros(1, np.float32), name=name) for name in ("kernel", "other"))
    optimizer.apply_gradients([(keras.ops.full((1,), 30.0), first), (keras.ops.full((1,), 40.0), second)])
    # Clipped to (0.6, 0.8); with both betas 0 Adam's step is learning_rate * g / (|g| + epsilon).
    np.testing.assert_allclose(first.numpy(), [-0.1 * 0.6 / 1.6], rtol=1e-5)
    np.testing.assert_allclose(second.numpy(), [-0.1 * 0.8 / 1.8], rtol=1e-5)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"schedule": "constant"}, [0.1, 0.1, 0.1]),
        ({"schedule": "cosine"}, [0.1, 0.05, 0.0]),
        ({"schedule": "constant", "warmup_epochs": 2}, [0.0, 0.1, 0.1]),
        ({"schedule": "cosine", "warmup_epochs": 2}, [0.0, 0.1, 0.0]),
    ],
)
def test_learning_rate_at_start_middle_and_end(overrides, expected):
    config = OptimizerConfig(learning_rate=0.1, **overrides)
    optimizer = create_optimizer(config, steps_per_epoch=10, epochs=4)
    rates = []
    for step in (0, 20, 40):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    np.testing.assert_allclose(rates, expected, atol=1e-7)


def test_configuration_round_trip():
    optimizer = CoupledAdam(learning_rate=0.1, l2=0.5, exclude=("bias",))
    again = CoupledAdam.from_config(optimizer.get_config())
    assert (again.l2, again.exclude) == (0.5, ("bias",))


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("mode", ["coupled", "decoupled"])
def test_steps_are_those_of_keras(mode, average):
    generator = np.random.default_rng(0)
    begin = [generator.normal(size=shape).astype(np.float32) for shape in ((3, 3, 4, 8), (40, 7), (5,))]
    steps = [[(generator.normal(size=b.shape) * 10.0**k).astype(np.float32) for b in begin] for k in (-3, 0, 1, -1)]
    config = OptimizerConfig(
        learning_rate=0.1,
        weight_decay=0.0 if mode == "coupled" else 0.3,
        weight_decay_mode=mode,
        schedule="cosine",
        weight_average=average,
    )
    ours = create_optimizer(config, steps_per_epoch=2, epochs=4)
    kept = {"use_ema": True, "ema_momentum": average} if average else {}
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 8)
    theirs = keras.optimizers.AdamW(
        learning_rate=schedule,
        weight_decay=config.weight_decay,
        epsilon=1e-8,
        **kept,
    )
    reached = []
    for optimizer in (ours, theirs):
        variables = [keras.Variable(value, name=f"kernel_{place}") for place, value in enumerate(begin)]
        for gradients in steps:
            optimizer.apply_gradients(zip(map(keras.ops.convert_to_tensor, gradients), variables, strict=True))
        averages = optimizer._model_variables_moving_average if average else []
        reached.append([v.numpy() for v in [*variables, *optimizer._momentums, *optimizer._velocities, *averages]])
    assert len(reached[0]) == (12 if average else 9)
    for mine, other in zip(*reached, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
