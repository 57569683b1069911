"""Time the lifelong training step side by side with the same step in plain PyTorch.

    python benchmarks/step.py --model vit-b --rounds 5 --out step.json

A step is that of a later stage: student forward and backward, teacher forward, all
losses of CKDA, AdamW; random images, normalised and not augmented. PyTorch's is
`plain_torch.py`, with timm's blocks, run eagerly and by torch.compile. Both start from
the same weights, and with nothing dropped the losses of their first steps must agree
before anything is timed. `--ours-only` needs no PyTorch.
"""

import argparse
from typing import Any

import sides
from sizes import Size

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05}
"""Largest relative difference of the losses of a step."""


def main() -> None:
    """Measure and print."""
    parser = sides.parser(__doc__)
    text = "steps whose losses are compared; after the first they hang on gradients"
    parser.add_argument("--checked", type=int, default=3, help=text)
    args = parser.parse_args()

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
    losses = {name: side("verify", args.checked) for name, side in checked.items()}
    ours = losses[sides.OURS]
    for name, theirs in losses.items():
        for a, b in zip(ours, theirs, strict=True):
            if not abs(a - b) <= TOLERANCE[args.dtype] * abs(a):
                raise SystemExit(
                    f"{name} computes something else: {theirs}, not {ours}"
                )
    return losses


if __name__ == "__main__":
    main()
