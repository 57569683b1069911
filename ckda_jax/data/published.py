"""The published counts: what index files and papers say that the datasets hold."""

from collections.abc import Sequence

from ckda_jax.data import regdb
from ckda_jax.data.counts import TRAINED, Camera, Counts, Description, Size
from ckda_jax.data.protocol import LIFELONG
from ckda_jax.data.tracks import TRAIN_FRAMES
from ckda_jax.structs import INFRARED, MODALITIES, VISIBLE


def _counts(identities: int, filmed: dict[int, Camera]) -> Counts:
    """Count a modality by what each camera filmed, images at least."""
    images = [camera.images or 0 for camera in filmed.values()]
    return Counts(identities, sum(images), filmed)


def _by_camera(
    identities: int, images: Sequence[int], seen: Sequence[int | None] = (None,) * 9
) -> Counts:
    """Count by the images, and the identities seen, of cameras 1, 2 and so on."""
    pairs = enumerate(zip(seen, images, strict=True), start=1)
    return _counts(identities, {c: Camera(*pair) for c, pair in pairs if pair[1]})


def _tracked(
    identities: int, frames: int, tracklets: Sequence[int], short: int
) -> Counts:
    """Count by the tracklets of cameras 1, 2 and so on."""
    total = sum(tracklets)
    filmed = {c: Camera(None, None, n) for c, n in enumerate(tracklets, start=1)}
    return Counts(identities, frames, filmed, total, total - short)


def _pair(visible: Counts, infrared: Counts) -> dict[str, Counts]:
    return {MODALITIES[VISIBLE]: visible, MODALITIES[INFRARED]: infrared}


def _regdb() -> Description:
    half = _pair(
        *(
            _counts(206, {regdb.CAMERAS[modality]: Camera(206, 2060)})
            for modality in (VISIBLE, INFRARED)
        )
    )
    images = half["visible"].images
    search = Size(images, images, 1, images, 0)
    return Description(
        splits={"train": half, "test": half},
        protocols=dict.fromkeys(regdb.PROTOCOLS, search),
    )


def _sysu() -> Description:
    splits = {
        "train": _pair(
            _counts(
                296,
                {
                    1: Camera(194, 4721),
                    2: Camera(195, 5753),
                    4: Camera(283, 4821),
                    5: Camera(294, 4989),
                },
            ),
            _counts(296, {3: Camera(293, 5929), 6: Camera(200, 4000)}),
        ),
        "val": _pair(
            _counts(99, {4: Camera(99, 990), 5: Camera(96, 984)}),
            _counts(99, {3: Camera(99, 1980)}),
        ),
        "test": _pair(
            _counts(
                96,
                {
                    1: Camera(56, 1374),
                    2: Camera(56, 1565),
                    4: Camera(94, 1918),
                    5: Camera(95, 1918),
                },
            ),
            _counts(96, {3: Camera(93, 1883), 6: Camera(96, 1920)}),
        ),
        TRAINED: _pair(Counts(395, 22258, {}), Counts(395, 11909, {})),
    }
    infrared = splits["test"]["infrared"]
    queries, beside = infrared.images, infrared.cameras[3].images
    indoor = 2208  # queries that an answer is left for in camera 1 and 2
    return Description(
        splits=splits,
        protocols={
            LIFELONG: Size(queries, 301, 1, queries, beside),
            "all-single": Size(queries, 301, 10, queries, beside),
            "all-multi": Size(queries, 3010, 10, queries, beside),
            "indoor-single": Size(queries, 112, 10, indoor, beside),
            "indoor-multi": Size(queries, 1120, 10, indoor, beside),
        },
    )


def _llcm() -> Description:
    vis, nir = (
        _by_camera(
            351,
            (139, 12, 2773, 3063, 1994, 18, 345, 252, 84),
            (9, 2, 162, 171, 99, 3, 24, 9, 5),
        ),
        _by_camera(
            351,
            (19, 47, 0, 58, 2119, 4276, 217, 311, 119),
            (4, 6, 0, 5, 221, 338, 19, 15, 11),
        ),
    )
    return Description(
        splits={
            "train": _pair(
                _by_camera(713, (290, 39, 5733, 5769, 3728, 14, 571, 633, 169)),
                _by_camera(713, (53, 98, 0, 74, 4291, 8436, 431, 456, 136)),
            ),
            "test": _pair(vis, nir),
        },
        protocols={
            LIFELONG: Size(nir.images, 484, 1, nir.images, 0),
            "infrared-to-visible": Size(nir.images, 484, 10, nir.images, 75),
            "visible-to-infrared": Size(vis.images, 619, 10, 8670, 102),
            "visible-to-infrared-released": Size(619, vis.images, 10, None, None),
        },
    )


def _vcm() -> Description:
    learned = _pair(
        _tracked(500, 130385, (1288, 1035, 844, 1156, 814, 1005), 682),
        _tracked(500, 102096, (793, 861, 836, 1073, 746, 610), 628),
    )
    cameras_visible = (682, 514, 468, 663, 433, 593, 344, 558, 420, 312, 307, 349)
    cameras_infrared = (501, 579, 436, 517, 429, 359, 251, 572, 495, 306, 376, 338)
    tested = _pair(
        _tracked(427, 121348, cameras_visible, 544),
        _tracked(427, 109391, cameras_infrared, 575),
    )
    drawn = {
        name: Counts(500, TRAIN_FRAMES * (counts.long_tracklets or 0), {}, None, None)
        for name, counts in learned.items()
    }
    visible, infrared = (counts.long_tracklets for counts in tested.values())
    forward = Size(infrared, visible, 1, infrared, 0)
    backward = Size(visible, infrared, 1, visible, 0)
    return Description(
        splits={"train": learned, "test": tested, TRAINED: drawn},
        protocols={
            LIFELONG: forward,
            "infrared-to-visible": forward,
            "visible-to-infrared": backward,
            "infrared-to-visible-first-frame": forward,
            "visible-to-infrared-first-frame": backward,
        },
    )


PUBLISHED: dict[str, Description] = {
    "regdb": _regdb(),
    "sysu": _sysu(),
    "llcm": _llcm(),
    "vcm": _vcm(),
}
"""Counts by dataset, of each trial of RegDB.

Of SYSU-MM01 from the permutations that its authors publish, of the others from their
index files; these agree with the papers but for LLCM, whose paper prints a total of
test images that its own lists contradict.
"""
