"""A batch shared among replicas: the shares are the batch, case for case, whatever its size."""

import numpy as np
import pytest
import tensorflow as tf
from releases import TinyRelease

from amfam_tf import config as configuration
from amfam_tf.data import pictures, pipeline
from amfam_tf.data.derm7pt import read_release
from amfam_tf.data.share import WHOLE, Share
from amfam_tf.tasks import DERM7PT

SIZE = 32


def make_config(**data):
    training = {"batch_size": 24 if data else 4, "epochs": 2}
    return configuration.from_dict({"data": {"image_size": SIZE, "cache": "none"} | data, "training": training})


SHUFFLED, BALANCED = make_config(), make_config(sampling="balanced")


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return read_release(TinyRelease(26, pixels=(40, 32)).write(tmp_path_factory.mktemp("release")))


@pytest.fixture(autouse=True)
def cheap_pictures(monkeypatch):
    """One grey for each path: it is not decoding that is shared."""

    def grey(path):
        return tf.fill((SIZE, SIZE, 3), tf.cast(tf.strings.to_hash_bucket_fast(path, 256), tf.uint8))

    def to_pictures(cases, config):  # noqa: ARG001
        return lambda pair: {name: grey(path) for name, path in pair.items()}

    for module in (pictures, pipeline):
        monkeypatch.setattr(module, "to_pictures", to_pictures)


def training(config, rows):
    return lambda cases, share: pipeline.training_dataset(cases.head(rows), config, share=share, card=DERM7PT)


def evaluation(cases, share):
    return pipeline.evaluation_dataset(cases.head(10), SHUFFLED, share=share, card=DERM7PT)


@pytest.mark.parametrize(
    "make",
    # 10 cases in batches of 4: the last one of 2 leaves the third replica none. Balanced ones are all of 24.
    [training(SHUFFLED, 10), training(BALANCED, 26), evaluation],
    ids=["shuffled", "balanced", "evaluation"],
)
def test_the_shares_put_together_are_the_batches_of_one_device(make, cases):
    """Three replicas, two on the first worker and one on the second; the case at place j is of replica j mod 3."""
    whole = list(make(cases, WHOLE).as_numpy_iterator())
    first, second = (list(make(cases, share).as_numpy_iterator()) for share in (Share(3, 0, 2), Share(3, 2, 1)))
    assert (len(first), len(second)) == (2 * len(whole), len(whole))
    for number, batch in enumerate(whole):
        parts = [*first[2 * number : 2 * number + 2], second[number]]
        for name, values in batch.items():
            for replica, part in enumerate(parts):
                np.testing.assert_array_equal(part[name], values[replica::3], err_msg=f"{name} of replica {replica}")


def test_places_by_hand():
    assert Share(3, 1, 1).places(10, 4).tolist() == [1, 5, 9]
    assert Share(4, 2, 2).places(10, 5).tolist() == [2, 3, 7, 8]
    assert Share(3, 2, 1).places(2, 4).tolist() == []
    assert WHOLE.places(3, 2).tolist() == [0, 1, 2]


def test_the_only_replica_gets_the_very_dataset():
    dataset = tf.data.Dataset.range(3)
    assert WHOLE.select(dataset, 2) is dataset
