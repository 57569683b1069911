"""PyTorch's side of benchmarks/step.py and benchmarks/embed.py: times `plain_torch`."""

import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import plain_torch
import torch
from sizes import Size

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Theirs:
    """A training step, eager or compiled, and what it works on."""

    def __init__(self, size: Size, options: dict[str, Any], folder: Path) -> None:
        self.size, self.options, self.folder = size, options, folder
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if options["device"] == "cpu":
            self.device = torch.device("cpu")
        # Float32 is float32, as on our side, and not TF32.
        torch.backends.cudnn.allow_tf32 = False
        self.mean, self.std = (
            torch.tensor(x, device=self.device)[:, None, None] for x in (MEAN, STD)
        )
        self.wrap = torch.compile if options["compiled"] else lambda function: function

    def _make(self, size: Size, name: str) -> plain_torch.Twin:
        state = dict(np.load(self.folder / f"{name}.npz"))
        return plain_torch.load(plain_torch.Twin(size), state).to(self.device)

    def _prepare(self, size: Size) -> tuple[Any, ...]:
        """Make a function of no arguments that takes a step and returns the loss."""
        student = self._make(size, "student").train()
        teacher = self._make(size, "teacher").eval().requires_grad_(False)
        rule = plain_torch.optimiser(student, self.options["rates"])
        labels = np.repeat(size.classes + np.arange(size.identities), size.images)
        labels = torch.from_numpy(labels).to(self.device)
        prototypes = torch.from_numpy(np.load(self.folder / "prototypes.npy"))
        prototypes = prototypes.to(self.device)
        raw = self._images(size)
        assess = self.wrap(plain_torch.losses)

        def step() -> torch.Tensor:
            rule.zero_grad(set_to_none=True)
            with self._cast():
                images = self._normalise(raw)
                loss = assess(student, teacher, images, labels, prototypes)
            loss.backward()
            rule.step()
            return loss.detach()

        return step

    def _images(self, size: Size) -> torch.Tensor:
        """Draw the images of `ours.batch`, channels first, as bytes."""
        shape = (2 * size.rows, size.height, size.width_pixels, 3)
        drawn = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        return torch.from_numpy(drawn.transpose(0, 3, 1, 2).copy()).to(self.device)

    def _normalise(self, raw: torch.Tensor) -> torch.Tensor:
        return (raw / 255 - self.mean) / self.std

    def _cast(self) -> Any:
        """Return the context of mixed precision, or one that changes nothing."""
        half = self.options["dtype"] == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half)

    def verify(self, steps: int) -> list[float]:
        """Return the losses of the first steps with nothing dropped."""
        step = self._prepare(self.size.without_chance())
        return [step().item() for _ in range(steps)]

    def compile(self) -> dict[str, float]:
        """Take the first step, which compiles; report its seconds."""
        self.timed = self._prepare(self.size)
        begin = time.perf_counter()
        self.timed().item()
        return {"compile_seconds": time.perf_counter() - begin}

    def step(self, steps: int) -> float:
        """Take steps; return seconds for each."""
        begin = time.perf_counter()
        for _ in range(steps):
            loss = self.timed()
        loss.item()
        return (time.perf_counter() - begin) / steps

    def compile_embed(self) -> dict[str, float]:
        """Embed once, which compiles; report the seconds."""
        model = self._make(self.size, "student").eval().requires_grad_(False)
        images = self._normalise(self._images(self.size))
        forward = self.wrap(
            lambda images: torch.nn.functional.normalize(model(images).neck, dim=-1)
        )

        def once() -> torch.Tensor:
            with torch.no_grad(), self._cast():
                return forward(images)

        self.embed_once = once
        begin = time.perf_counter()
        once().sum().item()
        return {"compile_seconds": time.perf_counter() - begin}

    def embed(self, batches: int) -> float:
        """Embed batches; return seconds for each."""
        begin = time.perf_counter()
        for _ in range(batches):
            found = self.embed_once()
        found.sum().item()
        return (time.perf_counter() - begin) / batches

    def matrix(self, side: int) -> float:
        """Return the rate of a product of square matrices in FLOP/s."""
        dtype = getattr(torch, self.options["dtype"])
        if not hasattr(self, "square"):
            self.square = torch.randn(side, side, dtype=dtype, device=self.device)
            (self.square @ self.square).sum().item()
        begin = time.perf_counter()
        for _ in range(3):
            found = self.square @ self.square
        found[0, 0].item()
        return 3 * 2 * side**3 / (time.perf_counter() - begin)

    def memory(self) -> float:
        """Return the peak of the process, or of the device where it counts, in GiB."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**30
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    def versions(self) -> dict[str, str]:
        """Name the software and the device."""
        name = "cpu"
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name()
        return {"torch": torch.__version__, "device": name}
