"""The run itself: first a draft, for which nothing is compiled, then the whole."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
from rich.console import Console

from ckda_jax import keys
from ckda_jax.build import data, limits
from ckda_jax.build.method import augment, learner
from ckda_jax.build.modalities import check_lineage, check_modalities
from ckda_jax.build.model import load_weights, micro_batches, shapes, variables
from ckda_jax.data.dataset import Dataset
from ckda_jax.engine import pretrained
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.embed import Embedder
from ckda_jax.engine.evaluate import Evaluator
from ckda_jax.engine.origin import OWN, Lineage, Origin
from ckda_jax.engine.results import START, Results
from ckda_jax.engine.results import empty as new_results
from ckda_jax.engine.run import Pauses, Run
from ckda_jax.engine.shares import Shares, make_shares
from ckda_jax.engine.stage import Stage
from ckda_jax.engine.state import Snapshot
from ckda_jax.engine.step import Learner, make_step
from ckda_jax.files import RESULTS
from ckda_jax.locks import Held, always
from ckda_jax.reporting.progress import Tally
from ckda_jax.structs import Tree


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draft:
    """What a run would learn and with what, all of it checked.

    Attributes:
        datasets: what is evaluated, in order.
        stages: what is learned, in order.
        learner: model, method and optimiser settings.
        evaluator: evaluates snapshots.
    """

    datasets: tuple[Dataset, ...]
    stages: tuple[Stage, ...]
    learner: Learner
    evaluator: Evaluator


def draft(
    config: ConfigDict,
    workdir: Path,
    cluster: Cluster,
    lineage: Lineage = OWN,
    *,
    learns: bool = True,
) -> Draft:
    """Check a config and load the data that it names, the cheapest checks first.

    Args:
        config: resolved and locked.
        workdir: the run directory; a synthetic world is drawn into it.
        cluster: the devices.
        lineage: what the run goes on from.
        learns: False to evaluate only, which looks at an image when it embeds it and
            not all of them first.

    Raises:
        InputError: whatever cannot work, before any long work.
    """
    limits.check_limits(config)
    check_modalities(config)
    check_lineage(config, lineage)
    data.check_names(config)
    data.check_protocols(config)
    data.check_new(config, lineage)
    _check_batch(config, cluster)
    cluster.check_rows(config.eval.batch, "config.eval.batch")
    augment(config)
    if _loads_weights(config, lineage):
        pretrained.locate(config.init.weights)
    # Not to stdout, which an evaluation keeps for its scores.
    console = Console(stderr=True, quiet=not cluster.is_main)
    roots = data.world(config, workdir, Tally("pictures drawn", console))
    loaded = data.datasets(config, roots)
    if learns:
        tally = Tally("images checked", console)
        data.check_images(config, loaded, tally, _noted_on(console))
    planned = data.stages(config, loaded, first_index=lineage.first_index)
    capacity = max([lineage.identities, *(stage.classes for stage in planned)])
    classes = sum(stage.classes for stage in planned)
    made = learner(config, classes, capacity, cluster)
    return Draft(
        datasets=tuple(loaded.values()),
        stages=planned,
        learner=made,
        evaluator=evaluator(config, made, cluster),
    )


def try_start(config: ConfigDict, drafted: Draft, before: Origin | None = None) -> Tree:
    """Fit the weights that a run would start from to its model, compiling nothing.

    Returns:
        Variables of the run's shapes.

    Raises:
        InputError: weights or another run that do not fit.
    """
    made = shapes(config, drafted.learner)
    if before is None:
        return load_weights(config, made)
    init = drafted.learner.method.init
    memory = jax.eval_shape(init, jax.random.key(config.seed), made)
    return before.snapshot(made, memory).variables


def assemble(
    config: ConfigDict,
    workdir: Path,
    cluster: Cluster,
    lineage: Lineage = OWN,
    *,
    learns: bool = True,
) -> Run:
    """Make a run from a config; arguments and errors as of `draft`.

    The weights that the config names are loaded unless the run extends another one,
    from which `extend` takes them.
    """
    drafted = draft(config, workdir, cluster, lineage, learns=learns)
    method = drafted.learner.method
    made = variables(config, drafted.learner)
    if _loads_weights(config, lineage):
        made = load_weights(config, made)
    key = jax.random.key(config.seed)
    memory = method.init(keys.stream(key, "memory"), made)
    start = Snapshot(variables=made, memory=memory, stage=jnp.int32(START))
    return Run(
        workdir=workdir,
        key=key,
        stages=drafted.stages,
        datasets=drafted.datasets,
        learner=drafted.learner,
        step=compiled_step(config, drafted.learner, cluster),
        shares=compiled_shares(drafted.learner, cluster),
        evaluator=drafted.evaluator,
        origin=cluster.lay_out(start),
        learned_before=frozenset(lineage.learned),
        stream=lambda stage: data.stream(
            config, stage, cluster.shard, _noted_on(Console(stderr=True))
        ),
        usable=functools.partial(data.usable, config),
        carry_classifier=config.carry_classifier,
        pauses=Pauses(
            log_every=config.train.log_every,
            checkpoint_every=config.train.checkpoint_every,
            eval_every=config.eval_every,
            gradients_every=_gradients_every(config),
        ),
        evaluate_start=config.eval.before and lineage.first_index == 0,
        evaluate_unseen=config.eval.unseen,
        examples=config.report.queries,
        skip_nonfinite=config.train.skip_nonfinite,
    )


def extend(run: Run, before: Origin) -> Run:
    """Start a run from what another one left behind, instead of fresh weights.

    Raises:
        InputError: another architecture, or another method's memory.
    """
    start = before.snapshot(run.origin.variables, run.origin.memory)
    start = run.evaluator.embedder.cluster.lay_out(start)
    return dataclasses.replace(run, origin=start)


def evaluator(config: ConfigDict, learns: Learner, cluster: Cluster) -> Evaluator:
    """Make what evaluates."""
    cluster.check_rows(config.eval.batch, "config.eval.batch")
    embedder = Embedder(
        learner=learns,
        normalise=augment(config).normalise,
        cluster=cluster,
        size=tuple(config.model.image_size),
        batch=config.eval.batch,
        threads=config.data.threads,
    )
    return Evaluator(embedder=embedder, modality=config.eval.modality)


def compiled_step(config: ConfigDict, learns: Learner, cluster: Cluster) -> Any:
    """Compile the training step for the devices; the state given to it is consumed."""
    _check_batch(config, cluster)
    return jax.jit(cluster.keep_layout(make_step(learns)), donate_argnums=0)


def compiled_shares(learns: Learner, cluster: Cluster) -> Shares:
    """Compile the measurement of the shares of the gradient, when it is first asked."""
    return jax.jit(make_shares(learns), out_shardings=cluster.replicated())


def results(
    config: ConfigDict, run: Run, before: Origin | None, held: Held = always
) -> Results:
    """Open a run's results, or start them; an extension goes on with the old ones.

    Args:
        config: resolved and locked.
        run: whose they are.
        before: what it extends, if anything.
        held: whether the run directory is still this run's.
    """
    names = [list(stage.names) for stage in run.stages]
    content = new_results(
        method=config.method,
        preset=config.preset,
        seed=config.seed,
        stages=names,
        datasets=[dataset.name for dataset in run.datasets],
    )
    if before is not None:
        old = before.results
        content["stages"] = old["stages"] + names
        content["datasets"] = list(dict.fromkeys(old["datasets"] + content["datasets"]))
        content["evaluations"] = list(old["evaluations"])
        content["protocols"] = list(old["protocols"])
    is_main = run.evaluator.embedder.cluster.is_main
    return Results.open(run.workdir / RESULTS, content, writes=is_main, held=held)


def _check_batch(config: ConfigDict, cluster: Cluster) -> None:
    """Refuse a batch, or the parts of one, that the devices cannot share equally."""
    rows = config.train.identities * config.train.images
    parts = micro_batches(config)
    batch = "config.train.identities x config.train.images"
    part = f"a micro-batch ({batch} / config.train.micro_batches)"
    cluster.check_rows(rows // parts, f"a batch ({batch})" if parts == 1 else part)


def _noted_on(console: Console) -> data.Note:
    """Print what a user should know on a console, a line each."""
    return functools.partial(
        console.print, markup=False, highlight=False, soft_wrap=True
    )


def _gradients_every(config: ConfigDict) -> int:
    """Return how often the shares of the gradient are measured: by one process alone.

    The collectives of several processes fail in it on CPUs (Gloo resets connections).
    """
    return config.train.gradients_every if jax.process_count() == 1 else 0


def _loads_weights(config: ConfigDict, lineage: Lineage) -> bool:
    return bool(config.init.weights) and not lineage.init_from
