"""Measure evaluation: how fast, in how much memory, against the field's way.

    python benchmarks/retrieval.py --out retrieval.json
    python benchmarks/retrieval.py --given --out retrieval-given.json
    python benchmarks/retrieval.py --large --out retrieval-large.json

Prints a table in Markdown and writes the figures as JSON. The field's way is that of
the evaluation code most published visible-infrared methods share (Ye et al. 2021): all
distances in float64, `np.argsort` of every row, then a loop over the queries that walks
each ranking in Python. `field, tidied` is the same in float32 with that walk in NumPy.
All ways score the same embeddings in one run, taking turns; figures are medians, but
the field's way and re-ranking run once, as they take minutes. `--given` times the
ranking alone, of distances that are there.
Memory is the growth of the process beyond the embeddings, watched while it works.
"""

import argparse
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ckda_jax.files import write_json
from ckda_jax.retrieval.distances import Cosine
from ckda_jax.retrieval.metrics import Metrics, evaluate
from ckda_jax.retrieval.plan import Plan
from ckda_jax.retrieval.protocols import RULES, Rule
from ckda_jax.retrieval.rerank import rerank

RULE_NAMES = ("standard", "sysu")  # standard CMC; removal and identity CMC
ONCE = ("field", "ours, re-ranked")
IMAGES = 80  # of an identity in the gallery
NOISE = 3.0  # an image's distance from its identity, in that of two identities
ROWS = 10_000  # embeddings drawn at a time


class People(NamedTuple):
    """Embeddings `[n, d]` with identities and cameras `[n]`."""

    embeddings: np.ndarray
    ids: np.ndarray
    cameras: np.ndarray


def main() -> None:
    """Measure, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=4_000)
    parser.add_argument("--gallery", type=int, default=40_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--large", action="store_true", help="50,000 x 200,000 by identity CMC, ours"
    )
    parser.add_argument(
        "--given", action="store_true", help="rank distances made beforehand"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    args = parser.parse_args()
    if args.large:
        args.queries, args.gallery, args.repeats = 50_000, 200_000, 1
    sizes = args.queries, args.gallery, args.width
    query, gallery = draw(*sizes)
    chosen = given(query, gallery) if args.given else ways(args.large)
    names = RULE_NAMES[1:] if args.large else RULE_NAMES
    rows = compare((query, gallery), chosen, names, args.repeats)
    figures = {"sizes": sizes, "rows": rows, "machine": machine()}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.out, figures)
    print(markdown(figures))


def draw(queries: int, gallery: int, width: int) -> tuple[People, People]:
    """Draw people whose images scatter about a direction of their own."""
    rng = np.random.default_rng(0)
    identities = max(2, gallery // IMAGES)
    centres = rng.standard_normal((identities, width), dtype=np.float32)

    def images(count: int) -> People:
        ids = rng.integers(0, identities, count)
        found = np.empty((count, width), np.float32)
        for start in range(0, count, ROWS):
            part = found[start : start + ROWS]
            rng.standard_normal(part.shape, dtype=np.float32, out=part)
            part *= NOISE
            part += centres[ids[start : start + ROWS]]
            part /= np.linalg.norm(part, axis=1, keepdims=True)
        return People(found, ids, rng.integers(1, 7, count))

    return images(queries), images(gallery)


Way = Callable[[People, People, Rule], Any]


def ways(large: bool) -> dict[str, Way]:
    """List what is compared, by name."""
    found: dict[str, Way] = {"ours": ours}
    if jax.default_backend() != "cpu":
        found["ours, without the device"] = ours_on_host
    if large:
        return found
    others = {"field, tidied": tidied, "field": field, "ours, re-ranked": reranked}
    return {**found, "distances alone": distances_alone, **others}


def given(query: People, gallery: People) -> dict[str, Way]:
    """List what is compared when the distances are there."""
    distances = Cosine(query.embeddings, gallery.embeddings)[0 : len(query.ids)]

    def score(query: People, gallery: People, rule: Rule) -> Metrics:
        who = query.ids, query.cameras, gallery.ids, gallery.cameras
        return evaluate(distances, *who, rule)

    def sort(query: People, gallery: People, rule: Rule) -> Metrics:
        return by_sorting(distances, query, gallery, rule, walk_in_numpy)

    return {"ours": score, "field, tidied": sort}


def ours(query: People, gallery: People, rule: Rule, plan: Plan | None = None):
    """Score by blocks."""
    distances = Cosine(query.embeddings, gallery.embeddings)
    who = query.ids, query.cameras, gallery.ids, gallery.cameras
    return evaluate(distances, *who, rule, plan or Plan())


def ours_on_host(query: People, gallery: People, rule: Rule) -> Metrics:
    """Score by blocks on the CPU although there is a device."""
    return ours(query, gallery, rule, Plan(device=False))


def distances_alone(query: People, gallery: People, rule: Rule) -> None:
    """Make the distances by blocks and forget them: what no ranking can save."""
    del rule
    distances = Cosine(query.embeddings, gallery.embeddings)
    for start in range(0, len(query.ids), 1000):
        distances[start : start + 1000]


def reranked(query: People, gallery: People, rule: Rule) -> Metrics:
    """Score the k-reciprocal re-ranking."""
    distances = rerank(query.embeddings, gallery.embeddings)
    who = query.ids, query.cameras, gallery.ids, gallery.cameras
    return evaluate(distances, *who, rule)


def field(query: People, gallery: People, rule: Rule) -> Metrics:
    """Score as the field's code does."""
    first, second = (p.embeddings.astype(np.float64) for p in (query, gallery))
    distances = -np.matmul(first, np.transpose(second))
    return by_sorting(distances, query, gallery, rule, walk)


def tidied(query: People, gallery: People, rule: Rule) -> Metrics:
    """Score as the field's code could without changing its way."""
    distances = -np.matmul(query.embeddings, np.transpose(gallery.embeddings))
    return by_sorting(distances, query, gallery, rule, walk_in_numpy)


def by_sorting(
    distances: np.ndarray, query: People, gallery: People, rule: Rule, walk
) -> Metrics:
    """Sort all rows and walk every ranking."""
    indices = np.argsort(distances, axis=1)
    listed = gallery.ids[indices]
    matches = (gallery.ids[indices] == query.ids[:, np.newaxis]).astype(np.int32)
    curves, precisions, penalties = [], [], []
    for row in range(len(query.ids)):
        cameras = gallery.cameras[indices[row]]
        if rule.cmc == "identity":
            keep = ~((query.cameras[row] == 3) & (cameras == 2))
        else:
            keep = np.ones(len(cameras), bool)
        match = matches[row][keep]
        if not match.any():
            continue
        found = match.cumsum()
        last = np.where(match == 1)[0].max()
        penalties.append(found[last] / (last + 1.0))
        precisions.append((walk(found) * match).sum() / match.sum())
        if rule.cmc == "identity":
            names = listed[row][keep]
            once = np.unique(names, return_index=True)[1]
            found = (names[np.sort(once)] == query.ids[row]).cumsum()
        curves.append(np.minimum(found[:20], 1))
    return Metrics(
        mAP=float(np.mean(precisions)),
        mINP=float(np.mean(penalties)),
        cmc=np.mean(curves, axis=0),
        valid=len(curves),
    )


def walk(found: np.ndarray) -> np.ndarray:
    """Divide the images found by the rank, in Python."""
    return np.asarray([x / (rank + 1.0) for rank, x in enumerate(found)])


def walk_in_numpy(found: np.ndarray) -> np.ndarray:
    """Divide the images found by the rank."""
    return found / np.arange(1, len(found) + 1)


def compare(
    people: tuple[People, People],
    by_name: dict[str, Way],
    rule_names: Sequence[str],
    repeats: int,
) -> list[dict[str, Any]]:
    """Time every way under every rule, taking turns, and check that they agree."""
    rows = []
    for rule in rule_names:
        runs: dict[str, list[dict[str, Any]]] = {way: [] for way in by_name}
        for repeat in range(repeats):
            for way, score in by_name.items():
                if not repeat or way not in ONCE:
                    runs[way].append(measure(score, *people, RULES[rule]))
        for way in set(runs) & {"field", "field, tidied"}:
            assert abs(runs[way][0]["mAP"] - runs["ours"][0]["mAP"]) < 1e-5, way
        rows += [{"rule": rule, "way": way, **merge(runs[way])} for way in runs]
    return rows


def merge(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Take the median time and the largest memory of some runs."""
    seconds = [run["seconds"] for run in runs]
    return {
        "mAP": runs[0]["mAP"],
        "seconds": float(np.median(seconds)),
        "all_seconds": [round(s, 2) for s in seconds],
        "extra_mib": round(max(run["extra_mib"] for run in runs)),
    }


def measure(score: Way, *inputs) -> dict[str, Any]:
    """Run once; seconds, memory and the score."""
    with Memory() as memory:
        start = time.perf_counter()
        found = score(*inputs)
        seconds = time.perf_counter() - start
    mAP = None if found is None else found.mAP
    return {"seconds": seconds, "extra_mib": memory.extra / 2**20, "mAP": mAP}


class Memory:
    """Watches how far the process grows, twenty times a second (Linux)."""

    def __enter__(self) -> "Memory":
        self.extra, self.start, self.done = 0, resident(), threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self) -> None:
        """Note the largest growth until told to stop."""
        while not self.done.wait(0.05):
            self.extra = max(self.extra, resident() - self.start)

    def __exit__(self, *_) -> None:
        self.done.set()
        self.thread.join()


def resident() -> int:
    """Read the bytes of memory this process holds."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def machine() -> dict[str, Any]:
    """Describe what the figures were measured on."""
    return {
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "machine": f"{platform.machine()} {platform.system()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "jax": jax.__version__,
    }


def markdown(figures: dict[str, Any]) -> str:
    """Write the figures as a table; ratios are to ours."""
    queries, gallery, width = figures["sizes"]
    lines = [
        f"{queries:,} queries, {gallery:,} gallery images, {width} dimensions; "
        f"`{json.dumps(figures['machine'])}`",
        "",
        "| rule | way | seconds | ratio | rounds | extra MiB |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in figures["rows"]:
        same = (r for r in figures["rows"] if r["rule"] == row["rule"])
        base = next(r["seconds"] for r in same if r["way"] == "ours")
        lines.append(
            f"| {row['rule']} | {row['way']} | {row['seconds']:.2f}"
            f" | {row['seconds'] / base:.1f}"
            f" | {', '.join(map(str, row['all_seconds']))} | {row['extra_mib']:,} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
