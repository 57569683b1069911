"""Embeddings of any number of images, batch by batch over all devices."""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from ckda_jax.data.pipeline import images_of
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.state import Snapshot
from ckda_jax.engine.step import Learner
from ckda_jax.structs import Outputs, Records, Tree

NONE = 2**31 - 1
"""Label of what is no image: beyond any sum, so that it is dropped."""


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

    @property
    def width(self) -> int:
        """Numbers in an embedding."""
        return self.learner.model.width

    @functools.cached_property
    def _embed(self) -> Any:
        sharding = self.cluster.over_devices(0)
        return jax.jit(self._embedded, static_argnums=2, out_shardings=sharding)

    @functools.cached_property
    def _add_embeddings(self) -> Any:
        def add(total: Tree, snapshot: Snapshot, batch: Tree, modality: int) -> Tree:
            images, label = batch
            found = self._embedded(snapshot, images, modality)
            # On every device, so that it adds what belongs into its rows of the sums:
            # a batch is small beside them.
            everywhere = self.cluster.replicated()
            found, label = jax.lax.with_sharding_constraint((found, label), everywhere)
            return {"sums": total["sums"].at[label].add(found, mode="drop")}

        return self.cluster.folding(add)

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
        """Embed this process's share of a batch."""
        return self.cluster.own(self._start(snapshot, images, modality))

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

        Each process embeds a table of its own, and all of them must call this.

        Args:
            snapshot: the model.
            records: the images.
            chain: name of the resize chain.
            modality: whose prompts.
            batch: images in a batch, over all devices; None: as usual.
            progress: is told after every batch how many images are done.
        """
        found = [np.zeros((0, self.width), np.float32)]
        started = (
            self._start(snapshot, images, modality)
            for images in self._batches(records, chain, batch or self.batch)
        )
        for embedded in self._one_ahead(started):
            found.append(self.cluster.own(embedded))
            if progress is not None:
                progress(min(sum(map(len, found)), len(records)))
        return np.concatenate(found)[: len(records)]

    def sums(
        self,
        snapshot: Snapshot,
        records: Records,
        chain: str,
        modality: int,
        labels: Int[np.ndarray, " n"],
        count: int,
    ) -> Float[Array, "k d"]:
        """Add up the embeddings of the images of each label, on the devices.

        Each process embeds its part of the table, which is the same in all of them.

        Args:
            snapshot: the model.
            records: the images.
            chain: name of the resize chain.
            modality: through whose prompts.
            labels: of the images, from 0.
            count: labels there may be, k.

        Returns:
            The sums, laid out like prototypes.
        """
        shape = jax.ShapeDtypeStruct((count, self.width), np.float32)
        start = {"sums": shape}
        found = self.fold(
            self._add_embeddings, start, snapshot, records, chain, labels, modality
        )
        return found["sums"]

    def fold(
        self,
        add: Callable[..., Tree],
        start: Tree,
        snapshot: Snapshot,
        records: Records,
        chain: str,
        labels: Int[np.ndarray, " n"],
        choice: Any = None,
    ) -> Tree:
        """Add something up over the images of a table, batch by batch on the devices.

        Args:
            add: made by `Cluster.folding`; its batch is `images [b, h, w, 3]` uint8 and
                `label [b]` int32, an image without a label standing in for none.
            start: shapes of what is added up, by whose names it is laid out.
            snapshot: the model.
            records: the images.
            chain: name of the resize chain.
            labels: of the images, from 0.
            choice: is handed to `add`.

        Returns:
            The total.
        """
        own = self.cluster.peers.part(len(records))
        labels = np.asarray(labels[own], np.int32)
        total = self.cluster.zeros(start)
        records = records.take(np.arange(own.start, own.stop))
        share = self.batch // self.cluster.peers.count
        for index, images in enumerate(self._batches(records, chain, self.batch)):
            label = np.full(share, NONE, np.int32)
            some = labels[index * share : (index + 1) * share]
            label[: len(some)] = some
            self.pulse()
            batch = self.cluster.put((images, label), axis=0)
            total = add(total, snapshot, batch, choice)
            if self.cluster.peers.count > 1:  # see `_one_ahead`
                jax.block_until_ready(total)
        return total

    def outputs(self, snapshot: Snapshot, images: np.ndarray) -> Outputs:
        """Run the model on `[m, b, h, w, 3]` uint8; return everything it computed."""
        return self._outputs(snapshot, images)

    def read(self, records: Records, chain: str) -> UInt8[np.ndarray, "n h w 3"]:
        """Read a few images whole."""
        images = images_of(records, self.size, chain, len(records), 0)
        return next(images)[0]

    def _start(self, snapshot: Snapshot, images: np.ndarray, modality: int) -> Array:
        """Begin to embed this process's share of a batch."""
        self.pulse()
        return self._embed(snapshot, self.cluster.put(images, axis=0), modality)

    def _one_ahead(self, started: Iterator[Array]) -> Iterator[Array]:
        """Start the next batch before one is waited for.

        Not with several processes: two programs at once would mix up what they send
        each other.
        """
        waiting: collections.deque[Array] = collections.deque()
        ahead = 1 if self.cluster.peers.count == 1 else 0
        for array in started:
            waiting.append(array)
            if len(waiting) > ahead:
                yield waiting.popleft()
        yield from waiting

    def _embedded(self, snapshot: Snapshot, images: Array, modality: int) -> Array:
        embedding = self.learner.embed(
            snapshot.variables,
            self.normalise(images)[None],
            memory=snapshot.memory,
            stage=snapshot.stage,
            modality=(modality,),
        )
        return embedding[0].astype("float32")

    def _batches(
        self, records: Records, chain: str, batch: int
    ) -> Iterator[UInt8[np.ndarray, "b h w 3"]]:
        """Read a table as this process's share of batches, as many as any other's."""
        peers = self.cluster.peers
        share = batch // peers.count
        rounds = peers.most(-(-len(records) // share))
        read = images_of(records, self.size, chain, share, self.threads)
        for _ in range(rounds):
            blank = np.zeros((share, *self.size, 3), np.uint8)
            yield next(read, (blank, 0))[0]
