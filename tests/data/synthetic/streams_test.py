import numpy as np

from ckda_jax.data.synthetic.streams import stream


def test_stream_depends_on_every_word_and_on_nothing_else():
    first = stream(7, "regdb", 2).random(4)
    stream(7, "sysu").random(100)
    np.testing.assert_array_equal(first, stream(7, "regdb", 2).random(4))
    for words in [(8, "regdb", 2), (7, "sysu", 2), (7, "regdb", 3), (7, "regdb")]:
        assert not np.array_equal(first, stream(*words).random(4))
