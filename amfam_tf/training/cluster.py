"""The machines of a training, as the environment variable TF_CONFIG names them; pure Python.

    {"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}

The first worker is the chief; a task of the type "chief" may stand before the workers instead.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amfam_tf.errors import ConfigError

VARIABLE = "TF_CONFIG"
CHIEF, WORKER = "chief", "worker"
JOBS = (CHIEF, WORKER)


@dataclass(frozen=True)
class Cluster:
    """The workers and which of them this process is.

    Attributes:
        addresses: host:port of each worker, the chief first.
        worker: number of this process among them; 0 is the chief.
    """

    addresses: tuple[str, ...]
    worker: int


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """Returns the cluster that TF_CONFIG names, or None if the variable is not set or has no cluster.

    Raises:
        ConfigError: TF_CONFIG cannot be used; names the key.
    """
    text = environment.get(VARIABLE, "")
    if not text.strip():
        return None
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong(f"is not valid JSON: {error.msg} at character {error.pos}") from error
    if not isinstance(tree, dict):
        raise _wrong(f"must be a mapping with the keys cluster and task. Received: {tree!r}")
    if not tree.get("cluster"):
        return None
    cluster = _section(tree, "cluster", "every worker's host:port")
    unknown = sorted(set(cluster) - set(JOBS))
    if unknown:
        raise _wrong(f"names cluster.{unknown[0]}: a training has only {CHIEF} and {WORKER}")
    addresses = {job: _addresses(cluster[job], f"cluster.{job}") for job in JOBS if job in cluster}
    if len(addresses.get(CHIEF, ())) > 1:
        raise _wrong(f"cluster.{CHIEF} must name one address. Received: {addresses[CHIEF]}")
    everyone = tuple(address for job in JOBS for address in addresses.get(job, ()))
    if len(set(everyone)) < len(everyone):
        raise _wrong(f"names an address twice: {next(one for one in everyone if everyone.count(one) > 1)}")
    return Cluster(everyone, _number(tree, addresses))


def _number(tree: Mapping[str, Any], addresses: Mapping[str, list[str]]) -> int:
    """Returns the number of the task among all workers."""
    task = _section(tree, "task", "the type and index of this process")
    job, index = task.get("type"), task.get("index")
    if not isinstance(job, str) or job not in addresses:
        raise _wrong(f"task.type must be one of cluster's keys ({', '.join(addresses)}). Received: {job!r}")
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(addresses[job]):
        raise _wrong(
            f"task.index must be in [0, {len(addresses[job])}), the entries of cluster.{job}. Received: {index!r}"
        )
    return index + (len(addresses.get(CHIEF, ())) if job == WORKER else 0)


def _addresses(value: Any, key: str) -> list[str]:
    if not isinstance(value, list) or not value:
        raise _wrong(f"{key} must be a list of host:port. Received: {value!r}")
    for number, address in enumerate(value):
        if not isinstance(address, str) or not re.fullmatch(r"\S+:\d{1,5}", address):
            raise _wrong(f"{key}[{number}] must be host:port. Received: {address!r}")
    return value


def _section(tree: Mapping[str, Any], key: str, meaning: str) -> Mapping[str, Any]:
    if key not in tree:
        raise _wrong(f"has no key {key}: {meaning}")
    if not isinstance(tree[key], dict):
        raise _wrong(f"{key} must be a mapping. Received: {tree[key]!r}")
    return tree[key]


def _wrong(message: str) -> ConfigError:
    return ConfigError(f"{VARIABLE} {message}")
