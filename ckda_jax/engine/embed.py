"""Embeddings of any number of images, batch by batch over all devices."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8

from ckda_jax.data.pipeline import images_of
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.state import Snapshot
from ckda_jax.engine.step import Learner
from ckda_jax.structs import Outputs, Records


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embedder:
    """Runs a learner's model as evaluation does.

    Attributes:
        learner: the model and its method.
        normalise: `uint8 [..., h, w, 3] -> float`, without augmentation.
        cluster: the devices.
        size: image height and width in pixels.
        batch: images in a batch, over all devices.
        threads: threads that decode.
        pulse: called before every batch; what it raises ends the evaluation.
    """

    learner: Learner
    normalise: Callable[[Array], Array]
    cluster: Cluster
    size: tuple[int, int]
    batch: int
    threads: int
    pulse: Callable[[], None] = lambda: None

    @functools.cached_property
    def _embed(self) -> Any:
        def embed(snapshot: Snapshot, images: Array, modality: int) -> Array:
            embedding = self.learner.embed(
                snapshot.variables,
                self.normalise(images)[None],
                memory=snapshot.memory,
                stage=snapshot.stage,
                modality=(modality,),
            )
            return embedding[0].astype("float32")

        return jax.jit(embed, static_argnums=2, out_shardings=self.cluster.replicated())

    @functools.cached_property
    def _outputs(self) -> Any:
        def outputs(snapshot: Snapshot, images: Array) -> Outputs:
            _, out = self.learner.apply(
                snapshot.variables,
                self.normalise(images),
                memory=snapshot.memory,
                stage=snapshot.stage,
                modality=self.learner.modality,
            )
            return out

        return jax.jit(outputs, out_shardings=self.cluster.replicated())

    def batch_of(
        self, snapshot: Snapshot, images: np.ndarray, modality: int
    ) -> Float[np.ndarray, "b d"]:
        """Embed this process's share of one batch; return the whole batch's rows."""
        self.pulse()
        images = self.cluster.put(images, axis=0)
        return np.asarray(self._embed(snapshot, images, modality))

    def table(
        self,
        snapshot: Snapshot,
        records: Records,
        chain: str,
        modality: int,
        *,
        batch: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Float[np.ndarray, "n d"]:
        """Embed the images of a table through the prompts of one modality.

        Args:
            snapshot: the model.
            records: the images.
            chain: name of the resize chain.
            modality: whose prompts.
            batch: images in a batch, over all devices; None: as usual.
            progress: is told after every batch how many images are done.
        """
        if len(records) == 0:
            return np.zeros((0, self.learner.model.width), np.float32)
        found = []
        for images in self._shares(records, chain, batch or self.batch):
            found.append(self.batch_of(snapshot, images, modality))
            if progress is not None:
                progress(min(sum(map(len, found)), len(records)))
        return np.concatenate(found)[: len(records)]

    def outputs(self, snapshot: Snapshot, images: np.ndarray) -> Outputs:
        """Run the model on `[m, b, h, w, 3]` uint8; return everything it computed."""
        return self._outputs(snapshot, images)

    def read(self, records: Records, chain: str) -> UInt8[np.ndarray, "n h w 3"]:
        """Read a few images whole."""
        images = images_of(records, self.size, chain, len(records), 0)
        return next(images)[0]

    def _shares(
        self, records: Records, chain: str, batch: int
    ) -> Iterator[UInt8[np.ndarray, "b h w 3"]]:
        """Read this process's contiguous share of every batch."""
        index, count = self.cluster.shard
        share = batch // count
        padded = -(-len(records) // batch) * batch
        rows = np.minimum(np.arange(padded), len(records) - 1)
        own = rows.reshape(-1, count, share)[:, index].reshape(-1)
        for images, _ in images_of(
            records.take(own), self.size, chain, share, self.threads
        ):
            yield images
