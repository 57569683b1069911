"""A synthetic world that several tests read, written once in a test run."""

import pytest

from ckda_jax.data import synthetic

SIZE = synthetic.Size(identities=16, test_identities=4, images=6, shots=2, height=64)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Write a world of 16 + 4 people; its dataset roots by site name."""
    root = tmp_path_factory.mktemp("synthetic") / "world"
    return synthetic.write(root, seed=3, size=SIZE)
