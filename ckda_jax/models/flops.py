"""Parameters and FLOPs of a model by part, counted on paper."""

import math
import re
from typing import NamedTuple

from ckda_jax.models.reid import ReIDModel
from ckda_jax.models.stem import token_grid
from ckda_jax.structs import Tree
from ckda_jax.trees import named_leaves

CONVENTION = "2 FLOPs per multiply-add, of matrix products and convolutions alone"
"""What `flops` counts; the padding of a convolution is multiplied as well."""

PARTS = (
    ("backbone", "stem", r"backbone/patch_embed/.*"),
    ("backbone", "blocks", r"backbone/blocks/.*"),
    ("backbone", "positions, CLS, last norm", r"backbone/(cls_token|pos_\w+|norm/.*)"),
    ("prompts", "common prompt", r"common/.*"),
    ("prompts", "specific prompts", r"specific/.*"),
    ("modality embedding", "", r"backbone/mod_embed"),
    ("head", "neck", r"neck/.*"),
    ("head", "classifier", r"classifier/.*"),
    ("method's own modules", "", r"extra/.*"),
)
"""Ordered `(group, part, regex of its parameters)`; every parameter is in one part."""


class Part(NamedTuple):
    """A part of a model: its parameters, and its FLOPs for one image."""

    group: str
    part: str
    parameters: int
    flops: int


def parts(model: ReIDModel, params: Tree) -> list[Part]:
    """Count what each part of a model holds and computes for one image of a modality.

    Args:
        model: the model.
        params: its parameters, or anything of their shapes.
    """
    leaves = named_leaves(params)
    computed = flops(model)
    return [
        Part(
            group=group,
            part=part,
            parameters=sum(
                math.prod(leaf.shape)
                for path, leaf in leaves.items()
                if re.fullmatch(pattern, path)
            ),
            flops=computed.get(part, 0),
        )
        for group, part, pattern in PARTS
    ]


def flops(model: ReIDModel) -> dict[str, int]:
    """Count the FLOPs of the forward pass of one image, by the parts that have any.

    See `CONVENTION`: norms, activations, softmax, sums and resizing are left out, and
    so is what a method adds.

    >>> model = ReIDModel(classes=395)  # ViT-B/16, stride 12, 256 x 128 pixels
    >>> {name: f"{count / 1e6:.3f} M" for name, count in flops(model).items()}
    {'stem': '247.726 M', 'blocks': '37483.647 M', 'common prompt': '3.162 M',
     'specific prompts': '6.291 M', 'classifier': '0.607 M'}
    """
    height, width = model.image_size
    patches = (height // model.prompt_patch_size) * (width // model.prompt_patch_size)
    pixels = 3 * model.prompt_patch_size**2
    hidden = model.common_width
    squeezed = max(hidden // 4, 1)
    gates = 2 * 2 * hidden * squeezed
    return {
        "stem": _stem(model),
        "blocks": _blocks(model),
        "common prompt": 2 * patches * (2 * pixels * hidden + gates),
        "specific prompts": 2 * patches * 2 * pixels * model.specific_width,
        "classifier": 2 * model.width * model.classes,
    }


def _blocks(model: ReIDModel) -> int:
    """Count four projections of every token, and its attention to every other."""
    grid = token_grid(model.stem, model.image_size, model.patch_size, model.stride)
    n, d = 1 + math.prod(grid), model.width
    hidden = int(d * model.mlp_ratio)
    return model.depth * 2 * n * (4 * d * d + 2 * d * hidden + 2 * n * d)


def _stem(model: ReIDModel) -> int:
    """Count the convolutions from image to tokens."""
    height, width = model.image_size
    if model.stem == "patch":
        tokens = math.prod(
            token_grid(model.stem, model.image_size, model.patch_size, model.stride)
        )
        return 2 * tokens * 3 * model.patch_size**2 * model.width
    total, before = 0, 3
    for index in range(4):
        height, width = -(-height // 2), -(-width // 2)
        after = max(model.width >> (3 - index), 8)
        total += 2 * height * width * 9 * before * after
        before = after
    return total + 2 * height * width * before * model.width
