"""Time the lifelong training step side by side with the same step in plain PyTorch.

    python benchmarks/step.py --model vit-b --rounds 5 --out step.json

A step is that of a later stage: student forward and backward, teacher forward, all
losses of CKDA, AdamW; random images, normalised and not augmented. PyTorch's is
`plain_torch.py`, with timm's blocks, run eagerly and by torch.compile. Both start from
the same weights, and with nothing dropped their losses over three steps must agree
before anything is timed. `--ours-only` needs no PyTorch.
"""

import argparse
from typing import Any

import sides
from sizes import Size

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05}
"""Largest relative difference of the losses of a step."""
CHECKED = 3
"""Steps whose losses are compared: after the first they hang on every gradient."""


def main() -> None:
    """Measure and print."""
    args = sides.parser(__doc__).parse_args()

    def work(started: dict[str, sides.Side], size: Size) -> dict[str, Any]:
        losses = agree(args, started)
        found = sides.measure(args, started, "compile", "step")
        return {
            "losses": losses,
            **sides.summary(found, size.step_flops(), 2 * size.rows),
        }

    sides.run(args, work)


def agree(
    args: argparse.Namespace, started: dict[str, sides.Side]
) -> dict[str, list[float]]:
    """Return the losses of the first steps by side; refuse sides that differ."""
    checked = {name: s for name, s in started.items() if name != sides.COMPILED}
    losses = {name: side("verify", CHECKED) for name, side in checked.items()}
    ours = losses[sides.OURS]
    for name, theirs in losses.items():
        for a, b in zip(ours, theirs, strict=True):
            if not abs(a - b) <= TOLERANCE[args.dtype] * abs(a):
                raise SystemExit(f"{name} computes something else: {theirs}, not {ours}")
    return losses


if __name__ == "__main__":
    main()
