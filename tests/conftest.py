"""Makes the helpers of this folder, such as `releases`, importable from every test; what several tests share."""

import pytest

from amfam_tf.fast_kernels import prefer_fast_kernels

# As the command line does, before any test imports TensorFlow.
prefer_fast_kernels()


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A drawn release of 40 cases, 96 x 72 pixels; not to be changed."""
    from amfam_tf.data import synthetic

    root = tmp_path_factory.mktemp("drawn") / "release"
    synthetic.write_release(root, cases=40, seed=1, size=(96, 72), workers=1)
    return root
