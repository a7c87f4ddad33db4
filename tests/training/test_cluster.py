"""TF_CONFIG: who is who, and one line that names the key that is wrong."""

import json

import pytest

from amfam_tf.errors import ConfigError
from amfam_tf.training.cluster import Cluster, read_cluster

TWO = ["a:1", "b:2"]


def read(tree):
    return read_cluster({"TF_CONFIG": tree if isinstance(tree, str) else json.dumps(tree)})


def task(index, kind="worker", **cluster):
    return {"cluster": cluster or {"worker": TWO}, "task": {"type": kind, "index": index}}


@pytest.mark.parametrize("environment", [{}, {"TF_CONFIG": ""}, {"TF_CONFIG": "{}"}, {"TF_CONFIG": '{"cluster": {}}'}])
def test_without_a_cluster_there_is_none(environment):
    assert read_cluster(environment) is None


def test_the_first_worker_is_the_chief_unless_there_is_one():
    assert read(task(1)) == Cluster(("a:1", "b:2"), worker=1)
    with_chief = {"worker": TWO, "chief": ["c:3"]}
    assert read(task(0, "chief", **with_chief)) == Cluster(("c:3", "a:1", "b:2"), worker=0)
    assert read(task(1, **with_chief)) == Cluster(("c:3", "a:1", "b:2"), worker=2)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ('{"cluster": ', "TF_CONFIG is not valid JSON: Expecting value at character 12"),
        ("[1]", "TF_CONFIG must be a mapping with the keys cluster and task. Received: [1]"),
        ({"cluster": ["a:1"]}, "TF_CONFIG cluster must be a mapping. Received: ['a:1']"),
        ({"cluster": {"worker": TWO}}, "TF_CONFIG has no key task: the type and index of this process"),
        (task(0, worker=TWO, ps=["c:3"]), "TF_CONFIG names cluster.ps: a training has only chief and worker"),
        (task(0, worker=[]), "TF_CONFIG cluster.worker must be a list of host:port. Received: []"),
        (task(0, worker="a:1"), "TF_CONFIG cluster.worker must be a list of host:port. Received: 'a:1'"),
        (task(0, worker=["a:1", "b"]), "TF_CONFIG cluster.worker[1] must be host:port. Received: 'b'"),
        (task(0, worker=["a:1", "a:1"]), "TF_CONFIG names an address twice: a:1"),
        (task(0, "chief", chief=TWO), "TF_CONFIG cluster.chief must name one address. Received: ['a:1', 'b:2']"),
        (
            task(0, "evaluator"),
            "TF_CONFIG task.type must be one of cluster's keys (worker). Received: 'evaluator'",
        ),
        (task(2), "TF_CONFIG task.index must be in [0, 2), the entries of cluster.worker. Received: 2"),
        (task("0"), "TF_CONFIG task.index must be in [0, 2), the entries of cluster.worker. Received: '0'"),
        (task(None), "TF_CONFIG task.index must be in [0, 2), the entries of cluster.worker. Received: None"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_key(tree, message):
    with pytest.raises(ConfigError) as error:
        read(tree)
    assert str(error.value) == message
