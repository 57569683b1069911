"""Embed images with a finished run and keep the embeddings in a gallery, to search it.

Running the same command again goes on where it stopped: images that are in the gallery
and have not changed are skipped. With --remove-identity or --remove-path it takes
images out of a gallery instead, their embeddings from the disk as well.
"""

import argparse
import collections
import dataclasses
import fnmatch
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Float
from rich.console import Console

from ckda_jax import build
from ckda_jax import config as config_lib
from ckda_jax.build import Model
from ckda_jax.data import sources
from ckda_jax.data.decode import read_image
from ckda_jax.data.layout import name_some
from ckda_jax.data.sources import Source
from ckda_jax.engine import distributed
from ckda_jax.files import CONFIG
from ckda_jax.reporting.progress import QUICK, Pace, duration
from ckda_jax.retrieval.gallery import Entry, Maker, Writer, open_gallery
from ckda_jax.retrieval.gallery.blocks import DTYPES, digest_of
from ckda_jax.retrieval.gallery.index import INDEX
from ckda_jax.structs import InputError


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(
        prog="python -m ckda_jax.embed", description=__doc__, allow_abbrev=False
    )
    made.add_argument("--workdir", type=Path, help="directory of the run")
    made.add_argument(
        "--stage", type=int, help="1-based stage; the last finished one when absent"
    )
    made.add_argument(
        "--images",
        nargs="+",
        metavar="PATHS|TABLE",
        help="images, folders, patterns, or tables (.csv, .parquet) with a column "
        "path and, if wanted, identity, camera, modality",
    )
    made.add_argument(
        "--modality", help="of all images that no table gives one: visible, infrared"
    )
    made.add_argument(
        "--out", required=True, type=Path, metavar="GALLERY", help="directory to add to"
    )
    made.add_argument(
        "--dtype",
        choices=tuple(DTYPES),
        help="what a new gallery keeps embeddings as; float32 when absent",
    )
    made.add_argument(
        "--block",
        type=int,
        default=1024,
        help="images between two saves, which is what a crash can lose (%(default)s)",
    )
    made.add_argument(
        "--bad-images",
        choices=("error", "skip"),
        default="error",
        help="at an image that cannot be read: stop, or name it and go on, which "
        "decodes all images twice (%(default)s)",
    )
    made.add_argument(
        "--remove-identity", nargs="+", default=[], metavar="ID", help="take out"
    )
    made.add_argument(
        "--remove-path",
        nargs="+",
        default=[],
        metavar="PATH",
        help="take out; * and ? stand for any characters",
    )
    return made


@config_lib.main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = parser().parse_args(argv)
    if args.remove_identity or args.remove_path:
        if args.images is not None:
            raise InputError("--images adds and --remove-... takes out; do one at once")
        print(remove(args.out, args.remove_identity, args.remove_path))
        return 0
    if args.workdir is None or args.images is None:
        raise InputError("give --workdir and --images, or what to remove; see --help")
    if args.block < 1:
        raise InputError(f"--block {args.block}: must be at least 1")
    distributed.initialise()
    config = config_lib.read(args.workdir / CONFIG)
    listed = sources.read(args.images, args.modality, build.modalities(config))
    build.use_compile_cache(config.compile_cache)
    model = build.load_model(args.workdir, args.stage)
    known = _known(args.out, model)
    is_main = model.embedder.cluster.is_main
    console = Console(stderr=True, highlight=False, quiet=not is_main)
    job = Job(
        model=model,
        # A process that does not write still has to know what there is to do.
        writer=start(model, args.out, args.dtype) if is_main else None,
        skips=args.bad_images == "skip",
        console=console,
    )
    counts = embed(job, listed, known, args.block)
    if is_main:
        print(f"{args.out}: {summary(counts)}; {len(open_gallery(args.out))} in all")
    return 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What embedding needs besides images.

    Attributes:
        model: embeds.
        writer: of the gallery; None in processes that do not write it.
        skips: whether images that cannot be read are left out.
        console: for progress.
    """

    model: Model
    writer: Writer | None
    skips: bool
    console: Console


def start(model: Model, out: Path, dtype: str | None = None) -> Writer:
    """Open a gallery to add to it, or make it."""
    made_by = Maker(
        digest=model.digest, workdir=os.path.abspath(model.workdir), stage=model.stage
    )
    return Writer.start(out, made_by, width=model.width, dtype=dtype)


def embed(
    job: Job, listed: Sequence[Source], known: dict[str, Entry], block: int
) -> collections.Counter[str]:
    """Embed images block by block, each safely in the gallery before the next.

    Args:
        job: how.
        listed: the images.
        known: what is in the gallery already, by path.
        block: images between two saves.

    Returns:
        How many were `added`, `replaced`, `skipped` as known, and `bad`.

    Raises:
        InputError: an image that cannot be read.
    """
    counts: collections.Counter[str] = collections.Counter()
    tell = _Teller(job.console, len(listed))
    threads = job.model.embedder.threads
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(listed), block):
            part = listed[start : start + block]
            entries = [e for e in pool.map(_entry, part) if e != known.get(e.path)]
            counts["skipped"] += len(part) - len(entries)
            if job.skips:
                entries = list(_readable(job, pool.map, entries, counts))
            if entries:
                tell.skipped = counts["skipped"]
                ahead = start + len(part) - len(entries)
                vectors = _vectors(job.model, entries, functools.partial(tell, ahead))
                if job.writer is not None:
                    counts["replaced"] += job.writer.add(vectors, entries)
                counts["added"] += len(entries)
    return counts


def remove(out: Path, identities: Sequence[str], patterns: Sequence[str]) -> str:
    """Take images out of a gallery by identity or path; say how many.

    Raises:
        InputError: no gallery, or an identity or path that is not in it.
    """
    patterns = [os.path.abspath(pattern) for pattern in patterns]

    def fits(entry: Entry, pattern: str) -> bool:
        # Only * and ? are special: folders may well be called cam[1].
        return fnmatch.fnmatchcase(entry.path, pattern.replace("[", "[[]"))

    there = list(open_gallery(out))
    people = {entry.identity for entry in there if entry.identity is not None}
    for identity in identities:
        if identity not in people:
            raise InputError(
                f"{out} holds no identity {identity!r}; it holds "
                f"{name_some(sorted(people)) or 'none that is known'}"
            )
    for pattern in patterns:
        if not any(fits(entry, pattern) for entry in there):
            raise InputError(
                f"{out} holds no image {pattern}; it holds "
                f"{name_some([entry.path for entry in there]) or 'none'}"
            )
    chosen = frozenset(identities)
    removed = Writer(out).remove(
        lambda entry: entry.identity in chosen or any(fits(entry, p) for p in patterns)
    )
    return f"{out}: {removed} removed; {len(there) - removed} in all"


def summary(counts: collections.Counter[str]) -> str:
    """Say what became of the images.

    >>> summary(collections.Counter(added=7, replaced=2))
    '7 embedded (2 of them in place of older ones), 0 were there already'
    """
    older = counts["replaced"]
    replaced = f" ({older} of them in place of older ones)" if older else ""
    bad = f", {counts['bad']} cannot be read" if counts["bad"] else ""
    return (
        f"{counts['added']:,} embedded{replaced}, {counts['skipped']:,} were there "
        f"already{bad}"
    )


class _Teller:
    """Says how far the work is, at most every few seconds."""

    def __init__(self, console: Console, total: int) -> None:
        self._console, self._total = console, total
        self._pace, self._last = Pace(), time.monotonic()
        self.skipped = 0

    def __call__(self, before: int, now: int) -> None:
        """Take notice that some more images are done after those before."""
        done = before + now
        self._pace.lap(done)
        seconds = self._pace.seconds_per_step
        if time.monotonic() - self._last < QUICK or not seconds:
            return
        self._last = time.monotonic()
        self._console.print(
            f"{done:,} of {self._total:,} images ({self.skipped:,} were there "
            f"already)  {1 / seconds:.0f} images/s  "
            f"{duration(seconds * (self._total - done))} left",
            markup=False,
            soft_wrap=True,
        )


def _known(out: Path, model: Model) -> dict[str, Entry]:
    """List what is in a gallery already; nothing where there is none yet."""
    if not (out / INDEX).exists():
        return {}
    return {entry.path: entry for entry in open_gallery(out, model=model)}


def _entry(source: Source) -> Entry:
    """Describe an image as a gallery does."""
    try:
        content = Path(source.path).read_bytes()
    except OSError as error:
        raise InputError(
            f"{source.path}: {error.strerror or error}; name images that can be read"
        ) from error
    return Entry(**dataclasses.asdict(source), digest=digest_of(content))


def _readable(
    job: Job,
    in_threads: Callable[..., Iterator[str | None]],
    entries: Sequence[Entry],
    counts: collections.Counter[str],
) -> Iterator[Entry]:
    """Leave images out that cannot be read, and say so."""
    size = job.model.embedder.size

    def problem(entry: Entry) -> str | None:
        try:
            read_image(entry.path, size)
        except InputError as error:
            return str(error)
        return None

    for entry, said in zip(entries, in_threads(problem, entries), strict=True):
        if said is None:
            yield entry
        else:
            counts["bad"] += 1
            job.console.print(f"left out: {said}", markup=False, soft_wrap=True)


def _vectors(
    model: Model, entries: Sequence[Entry], progress: Callable[[int], None]
) -> Float[np.ndarray, "n d"]:
    """Embed images, each through its own modality, each process its part of them."""
    found = np.zeros((len(entries), model.width), np.float32)
    named = np.array([entry.modality for entry in entries])
    paths = [entry.path for entry in entries]
    peers, done = model.embedder.cluster.peers, 0
    for modality in dict.fromkeys(named.tolist()):
        rows = np.flatnonzero(named == modality)

        def tell(now: int, before: int = done, most: int = len(rows)) -> None:
            progress(before + min(now * peers.count, most))

        own = rows[peers.part(len(rows))]
        vectors = model.embed([paths[row] for row in own], modality, progress=tell)
        found[rows] = peers.join(vectors)
        done += len(rows)
    return found


if __name__ == "__main__":
    sys.exit(main())
