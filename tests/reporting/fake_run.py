"""A run directory that no run made: plausible numbers, and images drawn on the spot.

`python -m tests.reporting.fake_run DIR` writes one with its report, to be looked at.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ckda_jax.files import write_json
from ckda_jax.reporting import html
from ckda_jax.reporting.writer import Writer

DATASETS = ("regdb", "sysu", "llcm", "vcm")
PROTOCOLS = ("visible-thermal", "all-single", "ir-visible", "ir-visible")
STEPS, EPOCHS = 400, 10
LIMITS = (0.62, 0.48, 0.41, 0.36)
TERMS = {
    "identity": (4.2, 0.4),
    "triplet": (0.3, 0.05),
    "centres": (0.2, 0.03),
    "cross": (0.25, 0.04),
    "prompt_consistency": (0.02, 0.004),
    "alignment_intra": (0.3, 0.12),
    "alignment_inter": (0.08, 0.03),
}
PROTECTING = ("prompt_consistency", "alignment_intra", "alignment_inter")


def results(preset: str = "ckda", seed: int = 0, keeps: float = 0.9) -> dict[str, Any]:
    """Make results in which `keeps` of a score survives every later stage."""
    rng = np.random.default_rng(seed)
    scores = np.empty((5, 4))
    for row in range(5):
        for place, limit in enumerate(LIMITS):
            later = row - 1 - place
            share = keeps**later if later >= 0 else 0.18 + 0.05 * row
            scores[row, place] = limit * share + rng.normal(0, 0.008)
    evaluations = [
        evaluation(row - 1, place, scores[row, place])
        for row in range(5)
        for place in range(4)
    ]
    evaluations += [
        evaluation(1, place, scores[2, place] * 0.8, epoch=5) for place in range(4)
    ]
    factors = {"mAP": 1.0, "rank1": 1.15, "mINP": 0.8}
    return {
        "format": 1,
        "method": "ckda",
        "preset": preset,
        "seed": seed,
        "stages": [[name] for name in DATASETS],
        "datasets": list(DATASETS),
        "evaluations": evaluations,
        "summary": {
            metric: summary(factor * scores) for metric, factor in factors.items()
        },
    }


def evaluation(
    stage: int, place: int, score: float, epoch: int | None = None
) -> dict[str, Any]:
    """Make one evaluation whose metrics follow from its mAP."""
    factors = {"rank1": 1.15, "rank5": 1.4, "rank10": 1.5, "rank20": 1.6, "mINP": 0.8}
    return {
        "stage": stage,
        "epoch": epoch,
        "dataset": DATASETS[place],
        "protocol": PROTOCOLS[place],
        "seen": place <= stage,
        "queries": 96,
        "gallery": 48,
        "mAP": score,
        **{name: factor * score for name, factor in factors.items()},
    }


def summary(scores: np.ndarray) -> dict[str, Any]:
    """Summarise scores `[1 + stages, datasets]` whose first row is the start."""
    after = scores[1:]
    forgetting: list[float | None] = [None]
    for stage in range(1, 4):
        earlier = after[:stage, :stage]
        forgetting.append(float(np.mean(earlier.max(axis=0) - after[stage, :stage])))
    return {
        "seen_average": [float(after[s, : s + 1].mean()) for s in range(4)],
        "forgetting": forgetting,
        "backward_transfer": float(np.mean(after[3, :3] - np.diag(after)[:3])),
        "forward_transfer": float(
            np.mean([after[s - 1, s] - scores[0, s] for s in (1, 2, 3)])
        ),
    }


def write_log(workdir: Path, every: int = 10) -> None:
    """Log four stages of losses that fall, with protecting terms from stage 2 on."""
    rng = np.random.default_rng(0)
    now = [0.0]
    writer = Writer(workdir, tensorboard=False, clock=lambda: now[0])
    for stage in range(4):
        for step in range(every, STEPS + 1, every):
            done = step / STEPS
            now[0] += 2.5
            terms = {}
            for name, (start, end) in TERMS.items():
                value = (end + (start - end) * np.exp(-4 * done)) * rng.lognormal(
                    0, 0.1
                )
                acts = stage > 0 or name not in PROTECTING
                terms[f"loss/{name}"] = value if acts else 0.0
            values = {
                "loss": sum(terms.values()),
                **terms,
                "grad_norm": 3 * np.exp(-done) * rng.lognormal(0, 0.2),
                "lr": 3e-4 * min(1.0, done / 0.1) * (1 + np.cos(np.pi * done)) / 2,
                "images_per_second": 400 + rng.normal(0, 10),
            }
            epoch = int((step - 1) * EPOCHS / STEPS) + 1
            writer.scalars(stage=stage, step=step, epoch=epoch, values=values)
    writer.close()


def person(identity: int, modality: int, pose: float) -> Image.Image:
    """Draw a person 64 x 128: in colours of the identity, or in grey for infrared."""
    rng = np.random.default_rng(identity)
    coat, trousers = (tuple(rng.integers(30, 230, 3).tolist()) for _ in range(2))
    skin, back = (224, 180, 150), (96, 110, 104)
    if modality:
        coat, trousers = ((int(np.mean(c)),) * 3 for c in (coat, trousers))
        skin, back = (235,) * 3, (40,) * 3
    image = Image.new("RGB", (64, 128), back)
    draw = ImageDraw.Draw(image)
    wide = int(rng.integers(10, 16))
    swing = int(6 * np.sin(pose))
    draw.ellipse((24, 8, 40, 28), fill=skin)
    draw.rounded_rectangle((32 - wide, 29, 32 + wide, 72), 6, fill=coat)
    draw.polygon(
        [(24, 70), (32, 70), (30 - swing, 122), (22 - swing, 122)], fill=trousers
    )
    draw.polygon(
        [(32, 70), (41, 70), (42 + swing, 122), (34 + swing, 122)], fill=trousers
    )
    return image


def write_examples(workdir: Path, dataset: str, seed: int, queries: int = 3) -> None:
    """Write ranked lists with their images, and prompt maps, of one dataset."""
    rng = np.random.default_rng(seed)
    folder = workdir / "world" / dataset
    folder.mkdir(parents=True)
    lists = []
    for query in range(queries):
        identity = 100 * seed + query
        entries = [entry(folder, identity, 1, query)]
        for rank in range(10):
            other = identity if rng.random() < 0.6 - 0.05 * rank else 900 + rank
            gallery = entry(folder, other, 0, 10 * query + rank)
            gallery |= {"distance": 0.2 + 0.05 * rank, "correct": other == identity}
            entries.append(gallery)
        lists.append({"query": entries[0], "gallery": entries[1:]})
    examples = workdir / "examples"
    examples.mkdir(exist_ok=True)
    protocol = PROTOCOLS[DATASETS.index(dataset)]
    write_json(examples / f"{dataset}.json", {"protocol": protocol, "queries": lists})
    images = np.array(
        [[np.asarray(person(7 * n + seed, m, n)) for n in range(3)] for m in (0, 1)]
    )
    rows, columns = np.mgrid[0:128, 0:64]
    body = np.exp(-(((columns - 32) / 18) ** 2) - ((rows - 60) / 45) ** 2)
    noise = rng.gamma(4, 0.25, (2, 2, 3, 16, 8)).repeat(8, 3).repeat(8, 4)
    common, specific = (
        scale * body * part for scale, part in zip((0.03, 0.012), noise, strict=True)
    )
    maps = {
        "common": common.astype(np.float32),
        "specific": specific.astype(np.float32),
    }
    np.savez_compressed(examples / f"{dataset}.npz", images=images, **maps)


def entry(folder: Path, identity: int, modality: int, number: int) -> dict[str, Any]:
    """Draw an image file and describe it as a ranked list does."""
    path = folder / f"{identity}_{modality}_{number}.png"
    person(identity, modality, number).save(path)
    camera = number % 6 + 1
    return {
        "path": str(path),
        "identity": identity,
        "camera": camera,
        "modality": ("visible", "infrared")[modality],
    }


def config() -> dict[str, Any]:
    """Make a small resolved config."""
    return {
        "seed": 0,
        "stages": list(DATASETS),
        "joint": False,
        "method": "ckda",
        "train": {"epochs": EPOCHS, "identities": 8, "images": 4, "log_every": 10},
        "optim": {"lr": 3e-4, "weight_decay": 1e-4, "warmup_epochs": 3},
        "alignment": {"weight": 1.0, "relation": "direct", "temperature": 0.1},
        "augment": {"mean": [0.485, 0.456, 0.406], "flip": 0.5},
    }


def write_run(workdir: Path) -> None:
    """Write all that a finished run leaves but checkpoints and TensorBoard events."""
    workdir.mkdir(parents=True, exist_ok=True)
    write_json(workdir / "config.json", config())
    write_json(workdir / "results.json", results())
    write_log(workdir)
    for seed, dataset in enumerate(DATASETS):
        write_examples(workdir, dataset, seed)


if __name__ == "__main__":
    write_run(Path(sys.argv[1]))
    print(html.write_report(sys.argv[1]))
