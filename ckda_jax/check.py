"""What `train --check` tells: counts, steps, parameters, memory; nothing compiled."""

import math
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from ckda_jax import build, trees, workdir
from ckda_jax.engine.optim import GROUPS
from ckda_jax.engine.stage import Stage
from ckda_jax.files import RESULTS
from ckda_jax.reporting.html import REPORT_FILE
from ckda_jax.reporting.writer import METRICS_FILE
from ckda_jax.structs import Tree

WRITTEN = " ".join(
    [
        *(workdir.CONFIG, workdir.LINEAGE, workdir.DATA, METRICS_FILE),
        *(f"{name}/" for name in workdir.FOLDERS),
        *(RESULTS, REPORT_FILE),
    ]
)
"""What a run leaves in its directory."""

GIB = 2**30


def report(
    config: ConfigDict,
    draft: build.Draft,
    variables: Tree,
    folder: Path,
    *,
    extended: str = "",
) -> list[str]:
    """Say what a run would learn, take and write, a line each.

    Args:
        config: of the run.
        draft: of the run.
        variables: of the run's shapes.
        folder: the run directory.
        extended: directory of the run that it extends, whose weights it starts from.
    """
    params = variables["params"]
    devices = draft.evaluator.embedder.cluster.mesh.size
    return [
        *(_stage_line(stage, build.modalities(config)) for stage in draft.stages),
        *_protocol_lines(draft),
        *_parameter_lines(params),
        _memory_line(config, params, devices),
        f"weights  {extended or config.init.weights or 'random'}",
        *([f"would draw  {folder}/world"] if config.data.synthetic.enabled else []),
        f"would write  {folder}/  {WRITTEN}",
    ]


def print_report(lines: list[str], console: Console) -> None:
    """Print the lines of a report."""
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)


def _stage_line(stage: Stage, modalities: tuple[str, ...]) -> str:
    per_modality = np.bincount(stage.records.modality, minlength=len(modalities))
    counts = ", ".join(
        f"{count} {name}" for name, count in zip(modalities, per_modality, strict=True)
    )
    return (
        f"stage {stage.index + 1}  {stage.name}: {stage.classes} identities, "
        f"{counts} images, {stage.epochs} epochs x {stage.steps_per_epoch} steps"
    )


def _protocol_lines(draft: build.Draft) -> list[str]:
    return [
        f"evaluated  {dataset.name} {protocol.name}: "
        f"{len(protocol.query)} queries, {len(protocol.gallery)} gallery images"
        for dataset in draft.datasets
        for protocol in dataset.protocols.values()
    ]


def _parameter_lines(params: Tree) -> list[str]:
    leaves, member = trees.named_leaves(params), trees.label(params, GROUPS)
    groups = trees.named_leaves(member)
    return [
        f"parameters  {group}: "
        f"{sum(leaf.size for name, leaf in leaves.items() if groups[name] == group):,}"
        for group in dict.fromkeys(name for _, name in GROUPS)
    ]


def _memory_line(config: ConfigDict, params: Tree, devices: int) -> str:
    state, activations = estimate(config, params, devices)
    parts = build.micro_batches(config)
    each = f" on each of {devices} devices" if devices > 1 else ""
    of = f" of one of {parts} micro-batches" if parts > 1 else ""
    return (
        f"memory  at least {(state + activations) / GIB:.2f} GiB{each}: weights, "
        f"gradients, moments and teacher {state / GIB:.2f}, activations "
        f"{activations / GIB:.2f}{of}; more config.train.micro_batches or "
        "config.model.remat take less"
    )


def estimate(config: ConfigDict, params: Tree, devices: int = 1) -> tuple[int, int]:
    """Estimate from below the bytes of a training step: its state, and activations.

    A block makes about `(8 + 2 r) d + 2 heads n` numbers per token (r the MLP ratio, d
    the width, n the tokens of an image), of which products are `(6 + r) d + heads n`.
    The backward pass holds the d that enter each block, the products of every block
    unless these are recomputed, and the rest of one. It sees one micro-batch at a time.

    Args:
        config: resolved and locked.
        params: of the model.
        devices: that share a batch, and with FSDP the state.

    Returns:
        Bytes on one device.
    """
    weights = sum(leaf.nbytes for leaf in trees.named_leaves(params).values())
    state = 5 * weights // (devices if config.mesh.parameters == "fsdp" else 1)
    size = config.model
    tokens = math.prod(build.grid(config))
    everything = (8 + 2 * size.mlp_ratio) * size.width + 2 * size.heads * tokens
    products = (6 + size.mlp_ratio) * size.width + size.heads * tokens
    held = 0 if size.remat else products
    kept = size.depth * (size.width + held) + everything - held
    images = build.images_per_step(config) // build.micro_batches(config) // devices
    width = 4 if size.dtype == "float32" else 2
    return state, int(images * tokens * kept * width)
