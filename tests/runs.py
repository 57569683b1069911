"""Whole runs small enough for a test: a drawn world, a narrow model, a few steps."""

import contextlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from ckda_jax import train, trees
from ckda_jax.build import run as build_run
from ckda_jax.config import parse
from ckda_jax.data import synthetic
from ckda_jax.data.prepare import Order, prepare
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.shares import make_shares
from ckda_jax.engine.step import Learner, make_step
from ckda_jax.reporting.writer import read_rows
from tests.tiny import QUICKLY

ROOT = Path(__file__).parents[1]
COMMON = ROOT / "configs" / "common.py"
SIZE = synthetic.Size(identities=6, test_identities=4, images=4, shots=2, height=64)

TINY = {
    "stages": "regdb,sysu",
    "eval_every": 1,
    "compile_cache": "",
    "data.threads": 0,
    "model.image_size": "32,16",
    "model.patch_size": 8,
    "model.stride": 8,
    "model.width": 12,
    "model.depth": 2,
    "model.heads": 2,
    "model.mlp_ratio": 2.0,
    "prompts.patch_size": 8,
    "prompts.common_width": 4,
    "prompts.specific_width": 2,
    "train.identities": 4,
    "train.images": 2,
    "train.epochs": 2,
    "train.steps": 2,
    "train.log_every": 1,
    "train.checkpoint_every": 1,
    "optim.lr": 0.001,
    "optim.warmup_epochs": 0,
    "eval.batch": 32,
    "report.queries": 2,
}
"""Keys of a run of two stages of four steps."""

FLAGS = " ".join(f"--{name}={str(value).lower()}" for name, value in QUICKLY.items())
"""Compiler flags for processes that tests start."""


def draw_world(folder: Path) -> dict[str, Path]:
    """Draw the four datasets; return their roots."""
    return synthetic.write(folder, seed=0, size=SIZE)


def prepare_world(folder: Path, world: Mapping[str, Path]) -> dict[str, Path]:
    """Prepare datasets at the size of a tiny run; return the prepared roots."""
    for name, root in world.items():
        order = Order(dataset=name, root=str(root), size=(32, 16), resample="reference")
        prepare(order, folder / name)
    return {name: folder / name for name in world}


def words(
    workdir: Path, roots: Mapping[str, Path], preset: str = "ckda", **changes: Any
) -> list[str]:
    """Write the command line of a tiny run.

    Args:
        workdir: the run directory.
        roots: of the datasets.
        preset: of `configs/common.py`.
        changes: further keys, their dots written as `__`.
    """
    keys = TINY | {f"data.roots.{name}": root for name, root in roots.items()}
    keys |= {name.replace("__", "."): value for name, value in changes.items()}
    options = [f"--config.{key}={value}" for key, value in keys.items()]
    return ["--config", f"{COMMON}:{preset}", "--workdir", str(workdir), *options]


def compile_quickly(config: Any, learns: Learner, cluster: Cluster) -> Any:
    """Stand in for `build.compiled_step`: the same, compiled five times as fast."""
    return jax.jit(
        cluster.keep_layout(make_step(learns)),
        donate_argnums=0,
        compiler_options=QUICKLY,
    )


def compile_shares_quickly(learns: Learner, cluster: Cluster) -> Any:
    """Stand in for `build.compiled_shares`, as `compile_quickly` for the step."""
    return jax.jit(
        make_shares(learns),
        out_shardings=cluster.replicated(),
        compiler_options=QUICKLY,
    )


def take(workdir: Path, roots: Mapping[str, Path], *more: str, **changes: Any) -> Path:
    """Take a tiny run to its end in this process; return its directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_run, "compiled_step", compile_quickly)
        patch.setattr(build_run, "compiled_shares", compile_shares_quickly)
        assert train.main([*words(workdir, roots, **changes), *more]) == 0
    return workdir


def command(module: str, arguments: list[str]) -> list[str]:
    """Write the command of an entry point in a process of its own."""
    return [sys.executable, "-m", f"ckda_jax.{module}", *arguments]


def environment(cache: Path) -> dict[str, str]:
    """Return the environment for processes that share a compile cache."""
    return os.environ | {
        "XLA_FLAGS": FLAGS,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "error",
    }


def run_process(
    module: str, arguments: list[str], cache: Path
) -> "subprocess.CompletedProcess[str]":
    """Run an entry point to its end in a process of its own."""
    return subprocess.run(
        command(module, arguments),
        env=environment(cache),
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=600,
    )


def listing(folder: Path) -> list[str]:
    """List everything below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def results(workdir: Path) -> dict[str, Any]:
    """Read a run's results."""
    content = json.loads((workdir / "results.json").read_text())
    content.pop("sha256", None)  # what a test changes, it writes as an old run would
    return content


def scores(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], list[float]]:
    """Arrange evaluations by stage, epoch, dataset and protocol."""
    names = ("mAP", "mINP", "rank1", "rank5", "rank10", "rank20")
    return {
        (row["stage"], row["epoch"], row["dataset"], row["protocol"]): [
            row[name] for name in names
        ]
        for row in rows
    }


def metrics(workdir: Path) -> list[dict[str, Any]]:
    """Read a run's log without what depends on the clock."""
    clock = ("time", "images_per_second")
    return [
        {name: value for name, value in row.items() if name not in clock}
        for row in read_rows(workdir / "metrics.jsonl")
    ]


def checkpoint(workdir: Path, stage: int) -> dict[str, np.ndarray]:
    """Read what a 0-based stage of a run left behind, by path name."""
    checkpoints = Checkpoints(workdir / "checkpoints", writes=False)
    saved = checkpoints.restore_as_saved(stage)
    checkpoints.close()
    return {name: np.asarray(x) for name, x in trees.named_leaves(saved).items()}


def assert_same_run(one: Path, other: Path, *, stages: int) -> None:
    """Assert that two runs of some stages left the same behind, bit for bit."""
    assert results(one) == results(other)
    assert metrics(one) == metrics(other)
    assert_same_checkpoints(one, other, stages=stages)


def assert_same_checkpoints(one: Path, other: Path, *, stages: int) -> None:
    """Assert that two runs ended their stages with the same values, bit for bit."""
    for stage in range(stages):
        left, right = checkpoint(one, stage), checkpoint(other, stage)
        assert left.keys() == right.keys()
        for name in left:
            np.testing.assert_array_equal(left[name], right[name], err_msg=name)


@contextlib.contextmanager
def small_files_only(limit: int) -> Iterator[None]:
    """Let every write of this process beyond `limit` bytes of a file fail.

    Nothing is written into the compile cache meanwhile, which JAX would warn about.
    """
    shortest = jax.config.values["jax_persistent_cache_min_compile_time_secs"]
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1e9)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", shortest)


def record_disk(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """List what is synchronised and renamed from now on, in order.

    Returns:
        `("sync", path)` and, with the path as it was before, `("rename", path)`.
    """
    done: list[tuple[str, Path]] = []
    sync, rename = os.fsync, os.rename

    def note_sync(number: int) -> None:
        sync(number)
        done.append(("sync", Path(os.readlink(f"/proc/self/fd/{number}"))))

    def note_rename(before: str | Path, after: str | Path, **options: Any) -> None:
        rename(before, after, **options)
        done.append(("rename", Path(before)))

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "rename", note_rename)
    return done


def configuration(
    roots: Mapping[str, Path], preset: str = "ckda", **changes: Any
) -> ConfigDict:
    """Resolve the configuration of a tiny run."""
    _, config = parse(train.parser(), words(Path("unused"), roots, preset, **changes))
    return config


def leaves(tree: Any) -> list[Any]:
    """List the leaves of a tree."""
    return list(trees.named_leaves(tree).values())
