"""Comparison of the resize chains and the normalisation."""

import re

import numpy as np
import PIL
from PIL import Image

from ckda_jax.data.decode import resize
from ckda_jax.data.transforms import transform
from ckda_jax.engine.augment import Augment
from ckda_jax.parity import table
from ckda_jax.parity.golden import Golden, channels_first
from ckda_jax.parity.table import Row
from ckda_jax.parity.tolerances import EQUAL, ONE_LEVEL, Tolerance

PIXELS = {
    r"lanczos_(\d+)x(\d+)": "lanczos",
    r"then_bilinear_(\d+)x(\d+)": "regdb",
    r"direct_bilinear_(\d+)x(\d+)": "bilinear",
}
"""Recorded 8-bit images by key, width and height in it, and our chain."""
NORMALISED = {
    "test_pipeline": "lanczos",
    "train_pipeline_noaug": "regdb",
    "vcm_test_pipeline": "bilinear",
}
"""Recorded normalised images by key, and our chain."""
ROUNDING = Tolerance(1e-6)
LEVEL_NORMALISED = Tolerance(1.01 / 255 / 0.224)


def compare(golden: Golden) -> list[Row]:
    """Bring the recorded image to every recorded size."""
    recorded = str(golden.take("pillow_version"))
    same = recorded == PIL.__version__
    image = Image.fromarray(golden.take("img"))
    rows = []
    for key in golden.arrays:
        for pattern, chain in PIXELS.items():
            match = re.fullmatch(pattern, key)
            if match:
                width, height = (int(side) for side in match.groups())
                ours = np.asarray(resize(image, (height, width), chain))
                where = (golden.name, key, f"Pillow {PIL.__version__}")
                tolerance = EQUAL if same else ONE_LEVEL
                rows.append(table.compared(where, ours, golden.take(key), tolerance))
        if key in NORMALISED:
            tolerance = ROUNDING if same else LEVEL_NORMALISED
            rows += normalised(golden, key, image, tolerance)
    return rows


def normalised(
    golden: Golden, key: str, image: Image.Image, tolerance: Tolerance
) -> list[Row]:
    """Compare the normalisation on the host and on the device."""
    expected = golden.take(key)
    height, width = expected.shape[-2:]
    pixels = np.asarray(resize(image, (height, width), NORMALISED[key]))
    device = Augment(image_size=(height, width), infrared=()).normalise(pixels)
    where = {"host": transform(pixels), "device": np.asarray(device)}
    return [
        table.compared(
            (golden.name, f"{key} ({place})", "float32"),
            channels_first(ours),
            expected,
            tolerance,
        )
        for place, ours in where.items()
    ]
