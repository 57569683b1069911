"""Time the embedding of images side by side with the same model in plain PyTorch.

    python benchmarks/embed.py --model vit-b --rounds 5 --out embed.json

An evaluation forward pass of a batch of normalised images; otherwise as step.py.
"""

from typing import Any

import sides
from sizes import Size


def main() -> None:
    """Measure and print."""
    args = sides.parser(__doc__).parse_args()

    def work(started: dict[str, sides.Side], size: Size) -> dict[str, Any]:
        found = sides.measure(args, started, "compile_embed", "embed")
        images = 2 * size.rows
        return sides.summary(found, images * size.forward_flops(), images)

    sides.run(args, work)


if __name__ == "__main__":
    main()
