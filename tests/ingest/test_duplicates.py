"""Pictures that look the same: what counts as a copy, and which copies are leakage."""

import io

import numpy as np
import pandas as pd
import pytest
from pair_sources import natural_picture
from PIL import Image

from amfam_tf.ingest import duplicates
from amfam_tf.ingest.perceptual_hash import BITS, NEAR, perceptual_hash


def random_hashes(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, BITS // 8), np.uint8)


def flip(one, bits, seed):
    chosen = np.random.default_rng(seed).choice(BITS, bits, replace=False)
    flat = np.unpackbits(one)
    flat[chosen] ^= 1
    return np.packbits(flat)


def to_bytes(text):
    return np.frombuffer(bytes.fromhex(text), np.uint8)


def table_of(clinical, dermoscopic, splits, contrast=50.0):
    frame = pd.DataFrame({"row": np.arange(len(splits)) + 100, "case_num": np.arange(len(splits)), "split": splits})
    for name, hashes in (("clinical", clinical), ("dermoscopic", dermoscopic)):
        frame[name] = [f"{name}-{row}.jpg" for row in frame["row"]]
        frame[f"{name}_hash"] = [one.tobytes().hex() for one in hashes]
        frame[f"{name}_digest"] = [f"{name} {row}" for row in frame["row"]]
        frame[f"{name}_contrast"] = contrast
    return frame


def rows_of(groups):
    return [sorted({use.row for use in group.uses}) for group in groups]


@pytest.mark.parametrize("seed", range(20))
def test_every_pair_within_the_distance_is_found_and_none_beyond(seed):
    base = random_hashes(40, seed)
    near, far = flip(base[3], NEAR, seed), flip(base[9], NEAR + 1, seed)
    words = np.concatenate([base, [near, far]]).view(np.uint16)
    first, second = duplicates._near_pairs(words)
    assert {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)} == {frozenset({3, 40})}


def test_splits_tell_leakage_from_duplicates():
    clinical, dermoscopic = random_hashes(6), random_hashes(6, seed=1)
    clinical[4] = flip(clinical[0], 5, 0)  # train and test
    dermoscopic[5] = clinical[1]  # both train, another modality
    clinical[2] = dermoscopic[2]  # one row: a shared file
    found = duplicates.find_duplicates(table_of(clinical, dermoscopic, ["train"] * 4 + ["test", "train"]))
    assert rows_of(found) == [[100, 104], [101, 105]]
    assert [group.is_leakage for group in found] == [True, False]
    assert found[0].splits == ("test", "train")
    assert [use.path for use in found[1].uses] == ["clinical-101.jpg", "dermoscopic-105.jpg"]


def test_a_chain_of_copies_is_one_group():
    clinical, dermoscopic = random_hashes(4), random_hashes(4, seed=1)
    flat = np.unpackbits(clinical[0])
    for row in (1, 2):
        flat[row * 20 : row * 20 + NEAR] ^= 1
        clinical[row] = np.packbits(flat)
    assert rows_of(duplicates.find_duplicates(table_of(clinical, dermoscopic, ["train"] * 4))) == [[100, 101, 102]]


def test_pictures_that_show_nothing_are_the_same_by_their_bytes_only():
    same = np.zeros((3, BITS // 8), np.uint8)
    table = table_of(same, random_hashes(3), ["train", "test", "test"], contrast=0.5)
    assert duplicates.find_duplicates(table) == []
    table["clinical_digest"] = ["one", "one", "other"]
    (group,) = duplicates.find_duplicates(table)
    assert (rows_of([group]), group.same_bytes) == ([[100, 101]], True)


def test_a_copy_saved_again_smaller_and_brighter_is_near_and_other_pictures_are_not():
    pictures = [natural_picture(seed, 768, 512) for seed in range(6)]
    stream = io.BytesIO()
    pictures[0].resize((384, 256)).point(lambda value: 20 + value * 0.8).save(stream, "JPEG", quality=60)
    hashes = np.array([to_bytes(perceptual_hash(picture)) for picture in (*pictures, Image.open(stream))])
    distances = np.bitwise_count(hashes[:-1] ^ hashes[-1]).sum(axis=1)
    assert distances[0] <= NEAR
    assert distances[1:].min() > 3 * NEAR
