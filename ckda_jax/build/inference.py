"""A finished stage of a run, ready to embed images; needs none of the run's data."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from ml_collections import ConfigDict
from PIL import Image

from ckda_jax import config as config_lib
from ckda_jax import trees
from ckda_jax.build.cluster import cluster
from ckda_jax.build.method import augment, learner
from ckda_jax.build.modalities import modalities
from ckda_jax.build.model import shapes
from ckda_jax.data.decode import resize
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.embed import Embedder
from ckda_jax.engine.origin import CHECKPOINTS, MASK
from ckda_jax.engine.state import Snapshot
from ckda_jax.engine.step import Learner
from ckda_jax.files import CONFIG
from ckda_jax.structs import InputError, Records, Tree

CHAIN = "lanczos"
"""Resize chain of images that belong to no dataset."""

CLASSIFIER = "params/classifier/kernel"

DECIDING = ("model", "prompts", "norm")
"""Groups of the config whose values decide an embedding."""

Images = Sequence[str | Path | np.ndarray]
"""Paths of image files, or uint8 arrays `[h, w, 3]`, each of its own size."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A model that embeds images, of whatever size and wherever they are from.

    Attributes:
        workdir: directory of its run.
        stage: its 1-based stage.
        digest: of everything that decides an embedding; models of the same digest give
            embeddings that compare.
        modalities: names of the modalities, in the order of their ids.
        embedder: runs the model.
        snapshot: the model itself.
    """

    workdir: Path
    stage: int
    digest: str
    modalities: tuple[str, ...]
    embedder: Embedder
    snapshot: Snapshot

    @property
    def width(self) -> int:
        """Numbers in an embedding."""
        return self.embedder.learner.model.width

    def embed(
        self,
        images: Images,
        modality: str,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> Float[np.ndarray, "n d"]:
        """Embed images: unit vectors, float32.

        Each process embeds images of its own, and all of them must call this.

        Args:
            images: paths of files, or uint8 arrays `[h, w, 3]` of any size.
            modality: name of the modality of all of them.
            progress: is told again and again how many files are done.

        Raises:
            InputError: an unknown modality, or a file that cannot be read.
        """
        if modality not in self.modalities:
            raise InputError(
                f"unknown modality {modality!r}; this model has "
                f"{', '.join(self.modalities)}"
            )
        through = self.modalities.index(modality)
        peers = self.embedder.cluster.peers
        batch = self._batch(peers.most(len(images)) * peers.count)
        if any(isinstance(image, np.ndarray) for image in images):
            return self._embed_arrays(images, through, batch)
        table = _records([str(path) for path in images], through)
        return self.embedder.table(
            self.snapshot, table, CHAIN, through, batch=batch, progress=progress
        )

    def _embed_arrays(
        self, images: Images, through: int, batch: int
    ) -> Float[np.ndarray, "n d"]:
        """Embed images that are in memory."""
        height, width = self.embedder.size
        peers = self.embedder.cluster.peers
        share = batch // peers.count
        found = [np.zeros((0, self.width), np.float32)]
        for index in range(peers.most(-(-len(images) // share))):
            some = images[index * share : (index + 1) * share]
            rows = np.zeros((share, height, width, 3), np.uint8)
            for row, image in zip(rows, some, strict=False):
                row[:] = _resized(image, self.embedder.size)
            vectors = self.embedder.batch_of(self.snapshot, rows, through)
            found.append(vectors[: len(some)])
        return np.concatenate(found)

    def _batch(self, images: int) -> int:
        """Choose images in a batch: few for few, in steps, as each size is compiled."""
        batch = self.embedder.cluster.mesh.size
        while batch < min(images, self.embedder.batch):
            batch *= 2
        return min(batch, self.embedder.batch)


def load_model(workdir: str | Path, stage: int | None = None) -> Model:
    """Load what a finished stage of a run left behind, to embed images with it.

    Reads the run's config and one checkpoint, and none of its data.

    Args:
        workdir: directory of the run.
        stage: counted from 1; the last finished one when None.

    Raises:
        InputError: no run, a stage that is not finished, or a checkpoint that is
            damaged or does not fit the config.
    """
    folder = Path(workdir)
    config = config_lib.read(folder / CONFIG)
    checkpoints = Checkpoints(folder / CHECKPOINTS, writes=False)
    index = checkpoints.choose(stage)
    saved = checkpoints.restore_as_saved(index)
    checkpoints.close()
    devices = cluster(config, learns=False)
    learns = _learner(config, saved, folder, devices)
    start = _shapes(config, learns)
    kept = {part: _fill(start[part], saved[part], part, folder) for part in start}
    snapshot = Snapshot(**kept, stage=jnp.int32(index))
    return Model(
        workdir=folder,
        stage=index + 1,
        digest=digest(config, kept, index),
        modalities=modalities(config),
        embedder=_embedder(config, learns, devices),
        snapshot=devices.lay_out(snapshot),
    )


def digest(config: ConfigDict, kept: dict[str, Tree], stage: int) -> str:
    """Digest all that decides an embedding: what was learned, and how it is applied.

    Wherever the run lies and whichever machine computes it, the digest is the same.

    Args:
        config: of the run.
        kept: its `variables` and `memory`.
        stage: 0-based.
    """
    applied = {
        "method": config.method,
        "stage": stage,
        "modalities": modalities(config),
        "chain": CHAIN,
        "mean": config.augment.mean,
        "std": config.augment.std,
        **{name: config[name].to_dict() for name in DECIDING},
    }
    found = hashlib.blake2b(digest_size=16)
    found.update(json.dumps(applied, sort_keys=True).encode())
    for name, leaf in sorted(trees.named_leaves(kept).items()):
        array = np.asarray(leaf)
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        found.update(f"\0{name} {array.dtype} {array.shape}\0".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _learner(
    config: ConfigDict, saved: Tree, folder: Path, devices: Cluster
) -> Learner:
    """Make model and method with the sizes that the checkpoint shows."""
    leaves = trees.named_leaves(saved["variables"])
    if CLASSIFIER not in leaves:
        raise InputError(
            f"{folder}: its checkpoint has no classifier; it is of no run of ckda_jax"
        )
    memory = trees.named_leaves(saved["memory"])
    rooms = [leaf.shape[-1] for name, leaf in memory.items() if MASK.search(name)]
    classes = leaves[CLASSIFIER].shape[-1]
    return learner(config, classes, max(rooms, default=0), devices)


def _shapes(config: ConfigDict, learns: Learner) -> dict[str, Tree]:
    """Make the trees of a snapshot, all zeros."""
    made = shapes(config, learns)
    memory = jax.eval_shape(learns.method.init, jax.random.key(0), made)
    return {"variables": made, "memory": memory}


def _fill(like: Tree, saved: Tree, part: str, folder: Path) -> Tree:
    """Put what was saved into a tree of the run's structure.

    Raises:
        InputError: other names, or variables of other shapes. The shapes of a memory
            are the method's own affair.
    """
    old, new = trees.named_leaves(saved), trees.named_leaves(like)
    wrong = sorted(set(old) ^ set(new))
    if part == "variables":
        wrong += [
            name for name in new if old.get(name, new[name]).shape != new[name].shape
        ]
    if wrong:
        raise InputError(
            f"{folder}: the {part} of its checkpoint do not fit its {CONFIG}, "
            f"{len(wrong)} entries differ ({', '.join(wrong[:3])}); restore the file "
            "that the run began with"
        )
    return trees.map_named(lambda name, _: np.asarray(old[name]), like)


def _embedder(config: ConfigDict, learns: Learner, devices: Cluster) -> Embedder:
    """Make what runs the model, on batches that the devices of this machine share."""
    share = devices.mesh.size
    return Embedder(
        learner=learns,
        normalise=augment(config).normalise,
        cluster=devices,
        size=tuple(config.model.image_size),
        batch=-(-config.eval.batch // share) * share,
        threads=max(config.data.threads, 1),
    )


def _records(paths: list[str], modality: int) -> Records:
    """Make a table of images of which nothing is known but the modality."""
    unknown = np.full(len(paths), -1, np.int32)
    return Records(
        paths=np.array(paths, dtype=np.str_),
        identity=unknown.astype(np.int64),
        modality=np.full(len(paths), modality, np.int8),
        camera=unknown,
        tracklet=unknown,
    )


def _resized(image: Any, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """Bring an image in memory to size."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3:
        raise InputError(
            "images are given as paths, or all as uint8 arrays [h, w, 3]; found "
            f"{getattr(image, 'dtype', type(image).__name__)} "
            f"{getattr(image, 'shape', '')}"
        )
    return np.asarray(resize(Image.fromarray(image), size, CHAIN))
