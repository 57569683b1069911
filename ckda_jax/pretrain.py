"""Train the starting backbone on drawn, visible people whom no synthetic site has.

It learns to say what shape a person has (hair, garments, bag, build), whatever colours
are worn, as a backbone of ImageNet's has learned what things are.

Running the same command again goes on where it stopped. The run directory then holds
backbone.npz, to be named by config.init.weights, and backbone.json: digest and scores.
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key
from ml_collections import ConfigDict
from rich.console import Console

from ckda_jax import build, keys, workdir
from ckda_jax import config as config_lib
from ckda_jax.data import crowd, synthetic
from ckda_jax.data.dataset import Dataset
from ckda_jax.data.pipeline import Loading, TrainingStream
from ckda_jax.data.sampling import PairedSampler
from ckda_jax.engine import lifelong, origin, pretraining
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.desk import Desk
from ckda_jax.engine.interruption import Interruption
from ckda_jax.engine.results import START
from ckda_jax.engine.run import Pauses, Run
from ckda_jax.engine.stage import Pace, Stage, plan
from ckda_jax.engine.state import Snapshot
from ckda_jax.engine.step import Learner, init_extra
from ckda_jax.engine.watchdog import Watchdog
from ckda_jax.locks import Held, check_held
from ckda_jax.methods.attributes import attributes
from ckda_jax.methods.combined import combine
from ckda_jax.models.plain import PlainModel
from ckda_jax.models.vit import ViT
from ckda_jax.reporting.progress import Progress
from ckda_jax.reporting.writer import METRICS_FILE, Writer, read_rows
from ckda_jax.structs import MODALITIES, InputError, Tree

BACKBONE = "backbone.npz"

Scores = dict[str, dict[str, Any]]


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(
        prog="python -m ckda_jax.pretrain", description=__doc__
    )
    config_lib.add_arguments(made)
    made.add_argument(
        "--workdir", required=True, type=Path, help="run directory, made when absent"
    )
    return made


@config_lib.main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args, config = config_lib.parse(parser(), argv)
    check(config)
    build.use_compile_cache(config.compile_cache)
    workdir.check(args.workdir, config, origin.Lineage())
    with workdir.held(args.workdir) as held:
        workdir.check(args.workdir, config, origin.Lineage())
        command = config_lib.command(parser(), argv)
        pretrain(config, args, command, Console(highlight=False), held)
    return 0


def pretrain(
    config: ConfigDict,
    args: argparse.Namespace,
    command: str,
    console: Console,
    held: Held,
) -> None:
    """Train the backbone, write it with its sidecar, and report it."""
    with workdir.untouched_if_refused(args.workdir):
        run = assemble(config, args.workdir, console)
    workdir.claim(args.workdir, config, origin.Lineage())
    trained = train(config, run, command, console, held)
    check_held(held, run.workdir)
    path = run.workdir / BACKBONE
    digest = pretraining.export(path, trained.variables, build.grid(config))
    scores = {
        "held out": pretraining.score(run, trained),
        "sites": score_sites(config, run.workdir, path),
    }
    facts = {**describe(args.config, config, run), "scores": scores}
    pretraining.write_sidecar(path, digest, facts)
    report(scores, console)
    console.print(f"backbone: {path}")


def check(config: ConfigDict) -> None:
    """Refuse a config that cannot work, before anything is drawn.

    Raises:
        InputError: a file that is not for pretraining, a value out of its range, fewer
            people than a batch needs, or a world too small to score on.
    """
    if "crowd" not in config:
        raise InputError(
            "the config has no keys config.crowd.*; give configs/pretrain.py or a file "
            "that imports it"
        )
    build.check_limits(config)
    world = config.data.synthetic
    synthetic.Size(
        identities=world.identities,
        test_identities=world.test_identities,
        images=world.images,
    )
    if config.crowd.identities < config.train.identities:
        raise InputError(
            f"config.crowd.identities={config.crowd.identities} cannot fill batches of "
            f"config.train.identities={config.train.identities}; change one of them"
        )


def assemble(config: ConfigDict, folder: Path, console: Console) -> Run:
    """Make the one stage that learns the crowd.

    The loop evaluates nothing, as its evaluation is made for two modalities.

    Args:
        config: resolved and locked.
        folder: the run directory; the crowd is drawn into it.
        console: is told about the drawing.

    Raises:
        InputError: whatever cannot work.
    """
    cluster = build.cluster(config)
    learned = draw(config, folder, console)
    pace = Pace(
        rows=config.train.identities * config.train.images,
        epochs=config.train.epochs,
        steps=config.train.steps,
    )
    (stage,) = plan([(learned,)], pace)
    stream(config, stage).close()
    table = crowd.shapes(crowd_size(config))
    learns = Learner(
        model=model(config, stage.classes),
        method=combine(attributes=attributes(table, synthetic.CHOICES)),
        optimiser=build.optimiser(config),
        prepare=build.augment(config),
        hold=cluster.hold,
    )
    key = jax.random.key(config.seed)
    made = initial(learns, keys.stream(key, "init"))
    memory = learns.method.init(keys.stream(key, "memory"), made)
    start = Snapshot(variables=made, memory=memory, stage=jnp.int32(START))
    return Run(
        workdir=folder,
        key=key,
        stages=(stage,),
        datasets=(learned,),
        learner=learns,
        step=build.compiled_step(config, learns, cluster),
        shares=build.compiled_shares(learns, cluster),
        evaluator=build.evaluator(config, learns, cluster),
        origin=cluster.lay_out(start),
        learned_before=frozenset(),
        usable=lambda stage, rows: rows,
        stream=lambda stage: stream(config, stage),
        carry_classifier="never",
        pauses=Pauses(
            log_every=config.train.log_every,
            checkpoint_every=config.train.checkpoint_every,
            eval_every=0,
            gradients_every=config.train.gradients_every,
        ),
        evaluate_start=False,
        evaluate_unseen=False,
        examples=0,
        skip_nonfinite=config.train.skip_nonfinite,
    )


def draw(config: ConfigDict, folder: Path, console: Console) -> Dataset:
    """Draw the crowd, or find it drawn."""

    def tell(done: int, of: int) -> None:
        if done % max(of // 5, 1) == 0:
            console.print(f"drawn {done} of {of} people")

    return crowd.write_crowd(folder / crowd.NAME, crowd_size(config), tell)


def crowd_size(config: ConfigDict) -> crowd.CrowdSize:
    """Describe the crowd, its images as large as the model reads them."""
    height, width = config.model.image_size
    return crowd.CrowdSize(**config.crowd, height=height, width=width)


def stream(config: ConfigDict, stage: Stage) -> TrainingStream:
    """Open the training batches: one modality, every identity as often as another."""
    sampler = PairedSampler(
        stage.labels,
        stage.records.modality,
        identities=config.train.identities,
        images=config.train.images,
        modalities=MODALITIES[:1],
        steps=stage.steps,
        seed=config.seed,
    )
    loading = Loading(
        size=tuple(config.model.image_size),
        chain=stage.chain,
        threads=config.data.threads,
        workers=config.data.workers,
        cache_bytes=int(config.data.cache * 2**30),
    )
    return TrainingStream(stage.records, sampler, loading)


def model(config: ConfigDict, classes: int) -> PlainModel:
    """Make the backbone that the config describes, without prompts."""
    names = ("stem", "patch_size", "stride", "width", "depth", "heads", "mlp_ratio")
    rates = ("dropout", "attention_dropout", "drop_path", "epsilon", "remat")
    settings = {name: config.model[name] for name in (*names, *rates)}
    size = tuple(config.model.image_size)
    settings["dtype"] = build.compute_dtype(config)
    settings["micro_batches"] = build.micro_batches(config)
    return PlainModel(classes, ViT(image_size=size, modalities=1, **settings))


def initial(learns: Learner, key: Key[Array, ""]) -> Tree:
    """Draw the weights that training starts from."""
    images = jnp.zeros((1, 1, *learns.model.backbone.image_size, 3))

    def init(key: Key[Array, ""]) -> Tree:
        (_, outputs), made = learns.model.init_with_output(key, images)
        extra = init_extra(learns.method.modules, keys.stream(key, "extra"), outputs)
        return {**made, "params": {**made["params"], "extra": extra}}

    return jax.jit(init)(key)


def train(
    config: ConfigDict, run: Run, command: str, console: Console, held: Held
) -> Snapshot:
    """Take the run to its end, or find it there; the same command goes on with it."""
    progress = Progress(
        [stage.name for stage in run.stages],
        [stage.steps for stage in run.stages],
        images_per_step=config.train.identities * config.train.images,
        console=console,
    )
    checkpoints = Checkpoints(
        run.workdir / origin.CHECKPOINTS,
        keep=config.train.keep_checkpoints,
        held=held,
    )
    writer = Writer(run.workdir)
    loop = dataclasses.replace(run, datasets=())
    desk = Desk(
        checkpoints=checkpoints,
        results=build.results(config, loop, None, held),
        writer=writer,
        progress=progress,
        interruption=Interruption(command),
        watchdog=Watchdog(config.train.step_limit, command),
    )
    with desk.open():
        lifelong.run(loop, desk)
        return lifelong.restore(checkpoints, run.stages[-1].index, run.origin)


def score_sites(config: ConfigDict, folder: Path, backbone: Path) -> Scores:
    """Score a backbone on the synthetic sites, as a run of all four starts from it.

    The world and the weights that no backbone brings are those of seed 0.
    """
    sites = ConfigDict(config.to_dict())
    sites.seed = 0
    sites.stages = synthetic.NAMES
    sites.init.weights = str(backbone)
    sites.train.identities = 2  # no batch is drawn: any world is large enough
    run = build.assemble(sites, folder, build.cluster(sites))
    return pretraining.score(run, run.origin)


def describe(file: str, config: ConfigDict, run: Run) -> dict[str, Any]:
    """List what the numbers of a sidecar were made with."""
    (stage,) = run.stages
    return {
        "command": f"python -m ckda_jax.pretrain --config {file} --workdir DIR",
        "changes": config_lib.difference(config_lib.load(file), config),
        "seed": config.seed,
        "crowd": config.crowd.to_dict(),
        "steps": stage.steps,
        "images_per_step": config.train.identities * config.train.images,
        "seconds": round(seconds(run.workdir)),
        "machine": f"{os.cpu_count()} cores, {jax.default_backend()}",
    }


def seconds(folder: Path) -> float:
    """Read from a run's log how long its steps took."""
    rows = read_rows(folder / METRICS_FILE)
    return pretraining.training_seconds([row["time"] for row in rows])


def report(scores: dict[str, Scores], console: Console) -> None:
    """Print the scores, a line for each protocol."""
    for group, rows in scores.items():
        for name, row in rows.items():
            console.print(
                f"{group}  {name}  mAP {100 * row['mAP']:.1f}  "
                f"rank-1 {100 * row['rank1']:.1f}"
            )


if __name__ == "__main__":
    sys.exit(main())
