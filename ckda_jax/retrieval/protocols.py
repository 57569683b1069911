"""The scoring rule: what a protocol removes from a query's gallery, and its CMC."""

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

# Marks the gallery images that a query must not be compared with, from the identities
# and cameras of queries and gallery.
Removal = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """How a dataset's community scores a ranking.

    Attributes:
        removal: marks `[q, g]` the gallery images taken out of each query's ranking.
        cmc: `standard` counts gallery images up to the first right one; `identity`
            counts distinct identities, each where its first image stands.
    """

    removal: Removal
    cmc: Literal["standard", "identity"]


def remove_nothing(
    query_ids: Int[np.ndarray, " q"],
    query_cameras: Int[np.ndarray, " q"],
    gallery_ids: Int[np.ndarray, " g"],
    gallery_cameras: Int[np.ndarray, " g"],
) -> Bool[np.ndarray, "q g"]:
    """Keep every gallery image."""
    del query_cameras, gallery_cameras
    return np.zeros((len(query_ids), len(gallery_ids)), dtype=bool)


def remove_shared_place(
    query_ids: Int[np.ndarray, " q"],
    query_cameras: Int[np.ndarray, " q"],
    gallery_ids: Int[np.ndarray, " g"],
    gallery_cameras: Int[np.ndarray, " g"],
) -> Bool[np.ndarray, "q g"]:
    """Remove all of camera 2 for a query of camera 3: both film one room of SYSU-MM01.

    Of whatever identity, as in the dataset's evaluation protocol (Wu et al. 2017).

    >>> cameras = np.array([3, 6])
    >>> remove_shared_place(cameras, cameras, np.array([1, 1]), np.array([1, 2]))
    array([[False,  True],
           [False, False]])
    """
    del query_ids, gallery_ids
    return (query_cameras[:, None] == 3) & (gallery_cameras[None, :] == 2)


def remove_own_camera(
    query_ids: Int[np.ndarray, " q"],
    query_cameras: Int[np.ndarray, " q"],
    gallery_ids: Int[np.ndarray, " g"],
    gallery_cameras: Int[np.ndarray, " g"],
) -> Bool[np.ndarray, "q g"]:
    """Remove images of the query's identity under the query's camera.

    An unknown camera, -1, is nobody's own: nothing is removed for it.

    >>> one = np.array([1])
    >>> remove_own_camera(one, one, np.array([1, 1, 2]), np.array([1, 2, 1]))
    array([[ True, False, False]])
    """
    same_identity = query_ids[:, None] == gallery_ids[None, :]
    same_camera = query_cameras[:, None] == gallery_cameras[None, :]
    return same_identity & same_camera & (query_cameras[:, None] >= 0)


RULES: dict[str, Rule] = {
    "standard": Rule(removal=remove_nothing, cmc="standard"),
    "sysu": Rule(removal=remove_shared_place, cmc="identity"),
    "llcm": Rule(removal=remove_own_camera, cmc="identity"),
    "vcm": Rule(removal=remove_own_camera, cmc="standard"),
    "own-camera": Rule(removal=remove_own_camera, cmc="standard"),
}
