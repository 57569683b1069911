"""The limits: what values the keys of a config may have, checked first of all."""

import math
import re
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from ckda_jax.build.model import micro_batches
from ckda_jax.data import catalog
from ckda_jax.data.dataset import GALLERIES, OWN_RULES
from ckda_jax.data.images import BAD_IMAGES
from ckda_jax.engine.augment import FILLS
from ckda_jax.engine.evaluate import check_per_dataset
from ckda_jax.engine.layout import PARAMETERS
from ckda_jax.engine.shelf import STEPS_PER_STAGE
from ckda_jax.losses.metric import ANCHORS
from ckda_jax.methods import METHODS
from ckda_jax.methods.alignment import STUDENT_SPACES
from ckda_jax.methods.parts import COMPARISONS
from ckda_jax.models.alignment import RELATIONS
from ckda_jax.models.norm import EVAL_STATISTICS
from ckda_jax.models.stem import STEMS
from ckda_jax.structs import InputError
from ckda_jax.trees import path_name


class Range(NamedTuple):
    """Numbers from `low` to `high`, one or both of them left out."""

    low: float = -math.inf
    high: float = math.inf
    above_low: bool = False
    below_high: bool = False

    def holds(self, value: int | float) -> bool:
        """Say whether a number lies in the range; one that is not finite never does."""
        above = value > self.low if self.above_low else value >= self.low
        below = value < self.high if self.below_high else value <= self.high
        return math.isfinite(value) and above and below

    def __str__(self) -> str:
        low = f"{'above' if self.above_low else 'at least'} {self.low:.10g}"
        high = f"{'below' if self.below_high else 'at most'} {self.high:.10g}"
        bounded = (low, self.low > -math.inf), (high, self.high < math.inf)
        return " and ".join(text for text, bound in bounded if bound) or "finite"


ANY = Range()
FROM_0 = Range(0)
FROM_1 = Range(1)
ABOVE_0 = Range(0, above_low=True)
SHARE = Range(0, 1)
DROP = Range(0, 1, below_high=True)

RANGES = (
    (r"seed", Range(0, 2**32 - 1)),
    (r"data\.synthetic\.seed", Range(-1, 2**32 - 1)),
    (r"data\.synthetic\.identities", Range(4, 1000)),
    (r"data\.synthetic\.test_identities", Range(2, 1000)),
    (r"data\.synthetic\.images", Range(2)),
    (r"data\.trial", Range(1, 10)),
    (r"eval_every|data\.(max_identities|workers|threads|cache)", FROM_0),
    (r"model\.(image_size|patch_size|stride|width|depth|heads)", FROM_1),
    (r"model\.(mlp_ratio|epsilon)", ABOVE_0),
    (r"(model|prompts)\.(.*dropout|drop_path)", DROP),
    (r"prompts\.(patch_size|.*_width)", FROM_1),
    (r"train\.step_limit", Range(0, 1e8)),
    (r"train\.(steps|gradients_every|skip_nonfinite)", FROM_0),
    (r"report\.queries|eval\.seed", FROM_0),
    (r"train\.identities", Range(2)),
    (r"train\..*|eval\.batch", FROM_1),
    (r"mesh\.(model|large)", FROM_1),
    (r"optim\..*", FROM_0),
    (r"augment\.flip|erasing\.probability|merge\.old_weight", SHARE),
    (r"augment\.(brightness|contrast)", FROM_0),
    (r"augment\.(blur_sigma|std)", ABOVE_0),
    (r"alignment\.inter_weight", SHARE),
    (r".*temperature", ABOVE_0),
    (r"triplet\.start_epoch", FROM_1),
    (r"triplet\.margin|.*\.weight", FROM_0),
    (r".*", ANY),
)
"""Ordered `(regex of a key, range of its numbers)` pairs; the first match counts."""

CHOICES: dict[str, tuple[str, ...]] = {
    "method": tuple(METHODS),
    "model.stem": STEMS,
    "model.dtype": ("float32", "bfloat16"),
    "data.resample": ("direct", "reference"),
    "data.own_rule": OWN_RULES,
    "eval.galleries": GALLERIES,
    "data.bad_images": BAD_IMAGES,
    "erasing.fill": tuple(FILLS),
    "alignment.relation": RELATIONS,
    "alignment.student_space": STUDENT_SPACES,
    "prompts.compare": COMPARISONS,
    "cross.anchor": ANCHORS,
    "mesh.parameters": PARAMETERS,
    "carry_classifier": ("never", "equal_count"),
    "norm.eval_statistics": EVAL_STATISTICS,
}

PER_DATASET = {
    "prototypes.infrared_from": ("infrared", "visible"),
    "eval.modality": ("own", "swapped"),
}

REGEXES = ("init.allow_missing", "init.allow_extra")


def check_limits(config: ConfigDict) -> None:
    """Refuse values that no run can use; keys that a config has not are left alone.

    Raises:
        InputError: the key, its value and what it may be.
    """
    values = _values(config)
    sources = catalog.own_sources(config.data.own)
    for key, value in values.items():
        _check_range(key, value)
    for key, choices in CHOICES.items():
        if values.get(key, choices[0]) not in choices:
            raise InputError(
                f"config.{key}={values[key]!r}; choose one of {', '.join(choices)}"
            )
    for key, choices in PER_DATASET.items():
        if key in values:
            check_per_dataset(f"config.{key}", values[key], choices, sources)
    for key in REGEXES:
        _check_regex(key, values.get(key, ""))
    _check_sizes(config)
    _check_micro_batches(config)
    _check_steps(config)
    _check_order(config)


def _values(config: ConfigDict) -> dict[str, Any]:
    """List the values of a config by their dotted keys."""
    leaves = jax.tree_util.tree_leaves_with_path(
        config.to_dict(), is_leaf=lambda value: isinstance(value, tuple)
    )
    return {path_name(path).replace("/", "."): value for path, value in leaves}


def _check_range(key: str, value: Any) -> None:
    if isinstance(value, bool):
        return
    allowed = next(r for pattern, r in RANGES if re.fullmatch(pattern, key))
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, int | float) and not allowed.holds(number):
            raise InputError(f"config.{key}={value}: must be {allowed}")


def _check_regex(key: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"config.{key}={pattern!r} is no regular expression ({error}); correct it"
        ) from None


def _check_sizes(config: ConfigDict) -> None:
    """Refuse sizes of the model that do not fit each other."""
    size, patch = config.model, config.prompts.patch_size
    sides = tuple(size.image_size)
    if any(side % patch for side in sides):
        raise InputError(
            f"config.model.image_size {sides} is not a multiple of "
            f"config.prompts.patch_size {patch}; change one of them"
        )
    if size.stem == "patch" and min(sides) < size.patch_size:
        raise InputError(
            f"config.model.image_size {sides} is smaller than "
            f"config.model.patch_size {size.patch_size}; change one of them"
        )
    if size.width % size.heads:
        raise InputError(
            f"config.model.width {size.width} cannot be split over "
            f"config.model.heads {size.heads}; choose a divisor"
        )


def _check_micro_batches(config: ConfigDict) -> None:
    """Refuse a batch that cannot be cut into equal parts."""
    rows, parts = config.train.identities * config.train.images, micro_batches(config)
    if rows % parts:
        raise InputError(
            f"config.train.micro_batches={parts}: the {rows} rows of a modality "
            "(config.train.identities x config.train.images) cannot be cut into "
            f"{parts} equal parts; choose a divisor of {rows}"
        )


def _check_steps(config: ConfigDict) -> None:
    """Refuse more steps of a stage than checkpoints can be numbered by."""
    steps, epochs = config.train.steps, config.train.epochs
    if steps * epochs >= STEPS_PER_STAGE:
        raise InputError(
            f"config.train.steps={steps} x config.train.epochs={epochs} steps of a "
            f"stage: must be fewer than {STEPS_PER_STAGE:,}"
        )


def _check_order(config: ConfigDict) -> None:
    """Refuse ranges whose ends are the wrong way round."""
    blur = tuple(config.augment.blur_sigma)
    if blur[0] > blur[1]:
        raise InputError(
            f"config.augment.blur_sigma={blur}: its lower end is above its upper one; "
            "swap them"
        )
    optim = config.optim
    factor = optim.pretrained_lr_factor
    for name, rate in (
        ("config.optim.lr", optim.lr),
        ("config.optim.lr x config.optim.pretrained_lr_factor", optim.lr * factor),
    ):
        if optim.lr_min > rate:
            raise InputError(
                f"config.optim.lr_min={optim.lr_min} is above {name}={rate:.10g}; "
                "lower the first or raise the second"
            )
