"""Adam with coupled L2, learning rates of parts, their schedules, and how these go from a stage to the next."""

import contextlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import keras
import tensorflow as tf

from amfam_tf.config import OptimizerConfig
from amfam_tf.models.lesion_model import LesionModel

Gradients = list[tuple[tf.Tensor, tf.Variable]]
NORM_AND_BIAS = ("gamma", "beta", "bias")


class _SummedGradients:
    """Of an optimiser: the gradients that it is given are the sums over the replicas already.

    Keras' optimisers sum them after clipping, and after loss scaling has looked for infinite ones, each replica for
    itself; the norm of a batch's gradient is not known then.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: Gradients) -> Gradients:
        return grads_and_vars


class _KeptAverage:
    """Of an optimiser: at the end of a fit the weights stay what they are, beside their moving average.

    Keras would put the averages in their place, those of other variables if some are frozen.
    """

    def finalize_variable_values(self, var_list: list[Any]) -> None:
        """Does nothing, see `averaged`."""

    def _update_model_variables_moving_average(self: Any, trainable_variables: list[Any]) -> None:
        """Keras' update, with one momentum for all variables: the first step of a stage begins the average."""
        if not self.use_ema:
            return
        momentum = tf.where(self.iterations.value > 0, tf.constant(self.ema_momentum), 0.0)
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            if average is not None:
                average.assign(momentum * average.value + (1 - momentum) * _tensorflow_variable(variable))


class _OneKernel:
    """Of an Adam without its "amsgrad": the update of a variable is one operation in place of Keras' many.

    The same equations in one pass over the variable and its moments; equal up to rounding.
    """

    def update_step(self: Any, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        dtype = variable.dtype
        step = tf.cast(self.iterations.value + 1, dtype)
        beta_1, beta_2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.constant(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )


class _OwnRates:
    """Of an optimiser: some variables have a multiple of the learning rate, in the update and in decoupled decay."""

    rates: Mapping[str, float] = MappingProxyType({})
    """By the variable's path; 1 for all others."""

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        rate = self.rates.get(_path(variable), 1.0)
        super().update_step(gradient, variable, learning_rate if rate == 1.0 else learning_rate * rate)  # type: ignore[misc]

    def _apply_weight_decay(self: Any, variables: list[Any]) -> None:
        """Keras' decay, but for the rates, and with one learning rate for all: Keras asks the schedule for each."""
        if self.weight_decay is None:
            return
        tf.__internal__.distribute.interim.maybe_merge_call(
            self._decay_all,
            self._distribution_strategy,
            [_tensorflow_variable(v) for v in variables],
            self.learning_rate,
        )

    def _decay_all(self, distribution: Any, variables: list[tf.Variable], learning_rate: tf.Tensor) -> None:
        for variable in variables:
            distribution.extended.update(variable, self._decay, args=(learning_rate,), group=False)

    def _decay(self: Any, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        if self._use_weight_decay(variable):
            decay = tf.constant(self.weight_decay * self.rates.get(_path(variable), 1.0), variable.dtype)
            variable.assign_sub(variable * decay * tf.cast(learning_rate, variable.dtype))


def _tensorflow_variable(variable: Any) -> tf.Variable:
    return variable.value if isinstance(variable, keras.Variable) else variable


def _path(variable: Any) -> str:
    """Returns the path of a variable.

    Keras hands over a tf.Variable, whose name is like "conv1_bn/gamma:0" or, of the second replica,
    "conv1_bn/gamma/replica_1:0"; or its own, with a path.
    """
    return getattr(variable, "path", variable.name).split(":")[0].split("/replica_")[0]


@keras.saving.register_keras_serializable(package="amfam_tf")
class CoupledAdam(_SummedGradients, _OwnRates, _OneKernel, _KeptAverage, keras.optimizers.Adam):
    """Adam whose weight decay is L2: `l2 * variable` joins the gradient before the moments.

    This is what the reference implementation's Adam does; AdamW instead shrinks the variable beside the update.

    Args:
        l2: coefficient of L2.
        exclude: variables whose own name (without the layer's) is one of these get no L2.
        **kwargs: of `keras.optimizers.Adam`.

    Source: Wang et al. 2022, Sec. 4.2 ("weight decay 1e-4"); Loshchilov and Hutter 2019, Algorithm 2 (the L2 line).
    """

    def __init__(self, learning_rate: Any = 1e-5, l2: float = 1e-4, exclude: tuple[str, ...] = (), **kwargs: Any):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.l2 = l2
        self.exclude = tuple(exclude)

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        if self.l2 > 0 and _path(variable).split("/")[-1] not in self.exclude:
            gradient = gradient + tf.cast(self.l2, gradient.dtype) * tf.cast(variable, gradient.dtype)
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l2": self.l2, "exclude": self.exclude}


@keras.saving.register_keras_serializable(package="amfam_tf")
class DecoupledAdam(_SummedGradients, _OwnRates, _OneKernel, _KeptAverage, keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter 2019, Algorithm 2)."""


class ContinuedSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule over the whole training, for an optimiser that counts its steps from the beginning of a stage.

    Args:
        schedule: of all steps.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule):
        self.schedule = schedule
        self.steps_before = 0

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        return self.schedule(step + self.steps_before)

    def get_config(self) -> dict[str, Any]:
        return {"schedule": self.schedule}


def continue_schedule(optimizer: keras.optimizers.Optimizer, steps_before: int) -> None:
    """Makes the learning rate that of `steps_before` steps later; to be called before a train step is traced."""
    rate = _inner(optimizer)._learning_rate
    if isinstance(rate, ContinuedSchedule):
        rate.steps_before = steps_before


def restart(optimizer: keras.optimizers.Optimizer) -> None:
    """Sets Adam's moments and its count of steps to 0, as those of a new optimiser.

    Without it, a variable whose training begins in a later stage would start with moments of 0 and no correction of
    their bias: its first hundreds of steps would be up to six times as long as Adam's.
    """
    inner = _inner(optimizer)
    for variable in inner.variables:
        if variable is not inner._learning_rate:
            variable.assign(tf.zeros_like(variable))


@contextlib.contextmanager
def averaged(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Within it, the weights are their moving average a, if the optimiser keeps one; then again what they were.

    After each step a = m a + (1 - m) w, a = w after the first of a stage (Polyak and Juditsky 1992, geometric weights).
    """
    inner = _inner(optimizer)
    if not inner.use_ema:
        yield
        return
    # Not Keras' way of adding and taking away, which rounds: training goes on with the same bits.
    pairs = list(zip(inner._trainable_variables, inner._model_variables_moving_average, strict=True))
    kept = [variable.numpy() for variable, _ in pairs]
    for variable, average in pairs:
        variable.assign(average)
    try:
        yield
    finally:
        for (variable, _), value in zip(pairs, kept, strict=True):
            variable.assign(value)


def _inner(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Returns the optimiser inside loss scaling, which keeps its own state."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def set_backbone_rates(optimizer: keras.optimizers.Optimizer, network: LesionModel, config: OptimizerConfig) -> None:
    """Gives the backbones of a network the rates of the configuration; to be called before a train step is traced.

    Of a backbone's n layers with weights, the k-th has backbone_rate * layer_decay^((n - k) / (n - 1)).

    Source: Howard and Ruder 2018, Sec. 3.2 (discriminative fine-tuning).
    """
    rates: dict[str, float] = {}
    groups = network.parameter_groups()
    for part in network.backbones:
        layers = list(dict.fromkeys(_layer_of(variable) for variable in groups[part]))
        last = len(layers) - 1
        for variable in groups[part]:
            above = (last - layers.index(_layer_of(variable))) / max(last, 1)
            rates[variable.path] = config.backbone_rate * config.layer_decay**above
    others = {variable.path for name, group in groups.items() if name not in network.backbones for variable in group}
    if others & rates.keys():
        raise ValueError(f"A backbone and another part share the path {min(others & rates.keys())}.")
    _inner(optimizer).rates = {path: rate for path, rate in rates.items() if rate != 1.0}


def _layer_of(variable: keras.Variable) -> str:
    return variable.path.rpartition("/")[0]


def create_optimizer(
    config: OptimizerConfig, steps_per_epoch: int, epochs: int, undecayed: tuple[str, ...] = ()
) -> keras.optimizers.Optimizer:
    """Returns the optimiser of a configuration for a training of `epochs` times `steps_per_epoch` steps.

    Args:
        config: of the run.
        steps_per_epoch, epochs: for the schedule.
        undecayed: names, without the layer's, of variables that never get weight decay.
    """
    exclude = (*undecayed, *(NORM_AND_BIAS if config.exclude_norm_and_bias else ()))
    common = {
        "learning_rate": _learning_rate(config, steps_per_epoch, epochs),
        "beta_1": config.beta_1,
        "beta_2": config.beta_2,
        "epsilon": config.epsilon,
        "global_clipnorm": config.clip_norm,
    }
    if config.weight_average:
        common |= {"use_ema": True, "ema_momentum": config.weight_average}
    if config.weight_decay_mode == "coupled":
        return CoupledAdam(l2=config.weight_decay, exclude=exclude, **common)
    optimizer = DecoupledAdam(weight_decay=config.weight_decay, **common)
    if exclude:
        optimizer.exclude_from_weight_decay(var_names=list(exclude))
    return optimizer


def _learning_rate(
    config: OptimizerConfig, steps_per_epoch: int, epochs: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    warmup_steps = config.warmup_epochs * steps_per_epoch
    if config.schedule == "cosine":
        schedule = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup_steps else config.learning_rate,
            decay_steps=max(1, steps_per_epoch * epochs - warmup_steps),
            warmup_target=config.learning_rate if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
        return ContinuedSchedule(schedule)
    if warmup_steps:
        return ContinuedSchedule(keras.optimizers.schedules.PolynomialDecay(0.0, warmup_steps, config.learning_rate))
    return config.learning_rate
