"""Sizes of the models that are timed, and what a step of each costs on paper.

A FLOP count is of matrix products alone, two for a multiply-add.
"""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """A model and the batch it learns from.

    Attributes:
        height, width_pixels: of an image.
        patch, stride: of the backbone, in pixels.
        prompt_patch: side of a prompt patch in pixels.
        width, depth, heads: of the backbone; the MLP is four times as wide.
        dropout, drop_path, prompt_dropout: rates.
        classes: identities of a stage; the classifier has the rows of two.
        identities, images: of a batch, images per identity and modality.
    """

    height: int = 256
    width_pixels: int = 128
    patch: int = 16
    stride: int = 12
    prompt_patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    dropout: float = 0.03
    drop_path: float = 0.1
    prompt_dropout: float = 0.1
    classes: int = 395
    identities: int = 8
    images: int = 4

    @property
    def tokens(self) -> int:
        """Patches and CLS."""
        rows, columns = (
            (side - self.patch) // self.stride + 1
            for side in (self.height, self.width_pixels)
        )
        return rows * columns + 1

    @property
    def rows(self) -> int:
        """Images of one modality in a batch."""
        return self.identities * self.images

    def without_chance(self) -> "Size":
        """Return the same size with nothing dropped."""
        return dataclasses.replace(self, dropout=0.0, drop_path=0.0, prompt_dropout=0.0)

    def prompt_flops(self) -> int:
        """Count the products of the prompts of one image."""
        pixels = 3 * self.height * self.width_pixels
        patches = pixels // (3 * self.prompt_patch**2)
        gates = 2 * patches * 2 * (8 * 2)
        return 2 * pixels * 2 * (8 + 16) + 2 * gates

    def forward_flops(self) -> int:
        """Count the products of a forward pass of one image, prompts included."""
        n, d = self.tokens, self.width
        stem = (n - 1) * 3 * self.patch**2 * d
        block = n * 12 * d * d + 2 * n * n * d
        head = 2 * self.classes * d
        return 2 * (stem + self.depth * block + head) + self.prompt_flops()

    def step_flops(self) -> int:
        """Count a lifelong step: three forward passes of the student, counting backward
        as two, one of the teacher, and the prompts without chance once more."""
        extra = 3 * self.prompt_flops()
        return 2 * self.rows * (4 * self.forward_flops() + extra)


SIZES = {
    "vit-b": Size(),
    "vit-s": Size(stride=16, width=384, heads=6),
    "small": Size(
        height=64,
        width_pixels=32,
        patch=8,
        stride=8,
        prompt_patch=8,
        width=192,
        depth=4,
        heads=3,
    ),
    "tiny": Size(
        height=32,
        width_pixels=16,
        patch=8,
        stride=8,
        prompt_patch=8,
        width=24,
        depth=2,
        heads=3,
        classes=8,
        identities=2,
        images=2,
    ),
}
"""ViT-B/16 as in the paper; ViT-S/16 without overlap; the size of configs/synthetic.py
with patches for a stem; and one for tests."""
