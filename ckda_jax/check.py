"""What `train --check` tells: counts, steps, parameters and memory, nothing compiled."""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from ckda_jax import trees
from ckda_jax.engine.optim import GROUPS
from ckda_jax.engine.run import Run
from ckda_jax.structs import MODALITIES, Tree

WRITTEN = "config.json lineage.json metrics.jsonl results.json report.html checkpoints/"
GIB = 2**30


def report(config: ConfigDict, run: Run, workdir: Path, console: Console) -> None:
    """Print what a run would learn, take and write."""
    for stage in run.stages:
        per_modality = np.bincount(stage.records.modality, minlength=len(MODALITIES))
        counts = ", ".join(
            f"{count} {name}"
            for name, count in zip(MODALITIES, per_modality, strict=True)
        )
        console.print(
            f"stage {stage.index + 1}  {stage.name}: {stage.classes} identities, "
            f"{counts} images, {stage.epochs} epochs x {stage.steps_per_epoch} steps"
        )
    for dataset in run.datasets:
        for protocol in dataset.protocols.values():
            console.print(
                f"evaluated  {dataset.name} {protocol.name}: "
                f"{len(protocol.query)} queries, {len(protocol.gallery)} gallery images"
            )
    params = run.origin.variables["params"]
    groups = trees.label(params, GROUPS)
    for group in dict.fromkeys(name for _, name in GROUPS):
        member = trees.named_leaves(groups)
        leaves = trees.named_leaves(params)
        size = sum(leaf.size for name, leaf in leaves.items() if member[name] == group)
        console.print(f"parameters  {group}: {size:,}")
    state, activations = estimate(config, params)
    console.print(
        f"memory  about {(state + activations) / GIB:.2f} GiB: weights, gradients, "
        f"moments and teacher {state / GIB:.2f}, activations {activations / GIB:.2f}"
    )
    console.print(f"weights  {config.init.weights or 'random'}")
    if config.data.synthetic.enabled:
        console.print(f"would draw  {workdir}/world")
    console.print(f"would write  {workdir}/  {WRITTEN}")


def estimate(config: ConfigDict, params: Tree) -> tuple[int, int]:
    """Estimate the bytes of a training step: its state, and what backward keeps.

    A block keeps about `(8 + 2 r) d + 2 heads n` numbers per token (r the MLP ratio, d
    the width, n the tokens of an image), or d when it is recomputed.
    """
    weights = sum(leaf.nbytes for leaf in trees.named_leaves(params).values())
    size = config.model
    if size.stem == "conv":
        tokens = np.prod([side // 16 for side in size.image_size])
    else:
        tokens = np.prod(
            [(s - size.patch_size) // size.stride + 1 for s in size.image_size]
        )
    kept = (8 + 2 * size.mlp_ratio) * size.width + 2 * size.heads * tokens
    kept = size.width if size.remat else kept
    images = config.train.identities * config.train.images * len(MODALITIES)
    width = 4 if size.dtype == "float32" else 2
    return 5 * weights, int(images * tokens * size.depth * kept * width)
