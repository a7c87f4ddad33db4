"""What each method of the registry is and costs: parameters and multiply-adds at the configured size."""

import dataclasses
import gc
from collections.abc import Iterator
from dataclasses import dataclass

from amfam_tf.config import Config
from amfam_tf.errors import ConfigError
from amfam_tf.models.multiply_adds import count_multiply_adds
from amfam_tf.models.registry import METHODS, create, resolve


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        backbone: its name.
        image_size: side of the images, pixels.
        parameters: all of them, batch norm's moving averages included.
        served_parameters: those that a prediction needs.
        multiply_adds: of one prediction, see `count_multiply_adds`.
    """

    backbone: str
    image_size: int
    parameters: int
    served_parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Description:
    """A method as the registry has it.

    Attributes:
        name: in the registry.
        summary: a sentence.
        source: where it was published.
        cost: with the given configuration; None where `problem` says why not.
        problem: why the method cannot be built with the given configuration, or None.
    """

    name: str
    summary: str
    source: str
    cost: Cost | None
    problem: str | None = None


def describe_methods(config: Config) -> Iterator[Description]:
    """Yields every method in the registry's order; builds one network after the other, random weights.

    Args:
        config: whose sizes to use; its method and first weights do not matter.
    """
    offline = dataclasses.replace(config, model=dataclasses.replace(config.model, weights="none"))
    for name, method in METHODS.items():
        try:
            cost, problem = _cost(dataclasses.replace(offline, method=name)), None
        except ConfigError as error:
            cost, problem = None, str(error)
        yield Description(name, method.summary, method.source, cost, problem)


def _cost(config: Config) -> Cost:
    network = create(config.method, config)
    served = network.inference_model()
    cost = Cost(
        backbone=resolve(config).model.backbone,
        image_size=config.data.image_size,
        parameters=network.count_params(),
        served_parameters=served.count_params(),
        multiply_adds=count_multiply_adds(served),
    )
    del network, served
    gc.collect()  # a network is full of cycles, and the next one needs its memory
    return cost
