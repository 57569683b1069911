"""Named random streams: a seed and a few words give the same on every machine."""

import zlib

import numpy as np


def stream(*words: int | str) -> np.random.Generator:
    """Open the random stream that a list of whole numbers and names stands for.

    >>> bool(stream(1, "pose").random() == stream(1, "pose").random())
    True
    >>> bool(stream(1, "pose").random() == stream(1, "light").random())
    False
    """
    entropy = [zlib.crc32(w.encode()) if isinstance(w, str) else w for w in words]
    return np.random.default_rng(entropy)
