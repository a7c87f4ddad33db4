"""What is set before TensorFlow is imported, and what is left to the user."""

import os

import pytest

from amfam_tf.fast_kernels import FAST, prefer_fast_kernels


@pytest.mark.parametrize(
    ("machine", "of_user", "chosen"),
    [("x86_64", None, "1"), ("AMD64", None, "1"), ("x86_64", "0", "0"), ("aarch64", None, None)],
)
def test_what_is_chosen(monkeypatch, machine, of_user, chosen):
    # First set, so that whatever the test sets is undone.
    monkeypatch.setenv(FAST, of_user or "")
    if of_user is None:
        del os.environ[FAST]
    monkeypatch.setattr("platform.machine", lambda: machine)
    prefer_fast_kernels()
    assert os.environ.get(FAST) == chosen
