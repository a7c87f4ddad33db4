"""The former name of `amfam_tf.client.pairs`."""

from amfam_tf.client.pairs import find_pairs

__all__ = ["find_pairs"]
