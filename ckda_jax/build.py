"""From a config to the values of a run: the only place where a name becomes an object."""

import dataclasses
import functools
import os
from pathlib import Path

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ckda_jax import keys
from ckda_jax.data import catalog, decode, synthetic
from ckda_jax.data.dataset import Dataset
from ckda_jax.data.pipeline import Loading, TrainingStream
from ckda_jax.data.sampling import PairedSampler
from ckda_jax.engine import pretrained
from ckda_jax.engine.augment import Augment
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.embed import Embedder
from ckda_jax.engine.evaluate import Evaluator, check_per_dataset, per_dataset
from ckda_jax.engine.optim import Optimiser
from ckda_jax.engine.origin import Lineage, Origin
from ckda_jax.engine.results import FILE as RESULTS
from ckda_jax.engine.results import START, Results
from ckda_jax.engine.results import empty as new_results
from ckda_jax.engine.run import Pauses, Run
from ckda_jax.engine.stage import Pace, Stage, plan
from ckda_jax.engine.state import Snapshot
from ckda_jax.engine.step import Learner, init_extra, make_step
from ckda_jax.methods import METHODS, Settings, parts
from ckda_jax.methods.base import Method
from ckda_jax.models.reid import ReIDModel
from ckda_jax.models.stem import token_grid
from ckda_jax.structs import MODALITIES, InputError, Tree

WORLD = "world"
"""Folder of a run's synthetic world."""


def world(config: ConfigDict, workdir: Path) -> dict[str, str]:
    """Return the root folder of every dataset, drawing a synthetic world if asked to."""
    if not config.data.synthetic.enabled:
        return dict(config.data.roots)
    wanted = config.data.synthetic
    size = synthetic.Size(
        identities=wanted.identities,
        test_identities=wanted.test_identities,
        images=wanted.images,
    )
    seed = config.seed if wanted.seed < 0 else wanted.seed
    used = {*config.stages, *config.eval_only}
    sites = [name for name in synthetic.NAMES if name in used]
    roots = synthetic.write(workdir / WORLD, seed=seed, size=size, sites=sites)
    return {name: str(root) for name, root in roots.items()}


def datasets(config: ConfigDict, roots: dict[str, str]) -> dict[str, Dataset]:
    """Load the tables of every dataset that is learned or evaluated, and check images."""
    names = [*config.stages, *config.eval_only]
    if not config.stages:
        raise InputError("config.stages is empty; name at least one dataset")
    for name in names:
        if name not in roots:
            raise InputError(
                f"config.stages or config.eval_only names {name!r}; "
                f"there are {', '.join(roots)}"
            )
        if names.count(name) > 1:
            raise InputError(
                f"{name!r} stands more than once in config.stages and config.eval_only; "
                "name each dataset once"
            )
    loaded = {name: _dataset(config, name, roots[name]) for name in names}
    for name in config.stages:
        decode.check_images(loaded[name].train)
    for dataset in loaded.values():
        for protocol in dataset.protocols.values():
            decode.check_images(protocol.query)
            decode.check_images(protocol.gallery)
    return loaded


def _dataset(config: ConfigDict, name: str, root: str) -> Dataset:
    return catalog.load(
        name,
        root,
        trial=config.data.trial,
        seed=config.eval.seed,
        max_identities=config.data.max_identities,
        resample=config.data.resample,
    )


def stages(
    config: ConfigDict, loaded: dict[str, Dataset], *, first_index: int = 0
) -> tuple[Stage, ...]:
    """Plan the stages; `first_index` counts on from the run that is extended."""
    learned = tuple(loaded[name] for name in config.stages)
    groups = [learned] if config.joint else [(dataset,) for dataset in learned]
    pace = Pace(
        rows=config.train.identities * config.train.images,
        epochs=config.train.epochs,
        steps=config.train.steps,
    )
    planned = plan(groups, pace, first_index=first_index)
    for stage in planned:
        _sampler(config, stage)
    return planned


def _sampler(config: ConfigDict, stage: Stage) -> PairedSampler:
    try:
        return PairedSampler(
            stage.labels,
            stage.records.modality,
            identities=config.train.identities,
            images=config.train.images,
            modalities=len(MODALITIES),
            steps=stage.steps,
            seed=config.seed,
            stage=stage.index,
        )
    except InputError as error:
        raise InputError(f"{stage.name}: {error}") from None


def stream(
    config: ConfigDict, stage: Stage, shard: tuple[int, int] = (0, 1)
) -> TrainingStream:
    """Open the training batches of a stage."""
    loading = Loading(
        size=tuple(config.model.image_size),
        chain=stage.chain,
        threads=config.data.threads,
        workers=config.data.workers,
        cache_bytes=int(config.data.cache * 2**30),
    )
    sampler = _sampler(config, stage)
    return TrainingStream(stage.records, sampler, loading, shard=shard)


def model(config: ConfigDict, classes: int) -> ReIDModel:
    """Make the model with `classes` rows in its classifier."""
    size, prompts = config.model, config.prompts
    _check_model(config)
    return ReIDModel(
        classes=classes,
        modalities=len(MODALITIES),
        image_size=tuple(size.image_size),
        stem=size.stem,
        patch_size=size.patch_size,
        stride=size.stride,
        width=size.width,
        depth=size.depth,
        heads=size.heads,
        mlp_ratio=size.mlp_ratio,
        dropout=size.dropout,
        attention_dropout=size.attention_dropout,
        drop_path=size.drop_path,
        epsilon=size.epsilon,
        prompt_patch_size=prompts.patch_size,
        common_width=prompts.common_width,
        specific_width=prompts.specific_width,
        prompt_dropout=prompts.dropout,
        eval_statistics=config.norm.eval_statistics,
        remat=size.remat,
        dtype=None if size.dtype == "float32" else jnp.dtype(size.dtype),
    )


def _check_model(config: ConfigDict) -> None:
    size, patch = tuple(config.model.image_size), config.prompts.patch_size
    if any(side % patch for side in size):
        raise InputError(
            f"config.model.image_size {size} is not a multiple of "
            f"config.prompts.patch_size {patch}; change one of them"
        )
    if config.model.width % config.model.heads:
        raise InputError(
            f"config.model.width {config.model.width} cannot be split over "
            f"config.model.heads {config.model.heads}; choose a divisor"
        )
    _choose("config.model.dtype", config.model.dtype, ("float32", "bfloat16"))
    _choose("config.model.stem", config.model.stem, ("patch", "conv"))


def _choose(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{key}={value!r}; choose one of {', '.join(choices)}")


def grid(config: ConfigDict) -> tuple[int, int]:
    """Return the rows and columns of the model's patches."""
    size = config.model
    return token_grid(
        size.stem, tuple(size.image_size), size.patch_size, size.stride
    )


def method(config: ConfigDict, capacity: int) -> Method:
    """Make the method; `capacity` is the number of identities of the largest stage."""
    _choose("config.method", config.method, tuple(METHODS))
    check_method(config)
    weight = lambda part: {"weight": part.weight}  # noqa: E731
    aligned = config.alignment
    source = config.prototypes.infrared_from
    from_visible = frozenset(
        name
        for name in config.stages
        if per_dataset(source, name, "infrared") == "visible"
    )
    return METHODS[config.method](
        Settings(
            metric=parts.Metric(
                margin=config.triplet.margin,
                normalize=config.triplet.normalize,
                start_epoch=config.triplet.start_epoch,
            ),
            identity=weight(config.identity),
            triplet=weight(config.triplet),
            contrastive=dict(config.contrastive),
            centres=dict(config.centres),
            cross={**config.cross, "unique": config.centres.unique},
            prompt_consistency={
                "weight": config.prompts.weight,
                "compare": config.prompts.compare,
            },
            alignment={
                "weight": aligned.weight,
                "inter_weight": aligned.inter_weight,
                "student_space": aligned.student_space,
                "infrared_from_visible": from_visible,
                "capacity": capacity,
            },
            engine={
                "temperature": aligned.temperature,
                "relation": aligned.relation,
                "relation_temperature": aligned.relation_temperature,
            },
            merge={
                "old_weight": config.merge.old_weight,
                "carry_classifier": config.carry_classifier,
            },
        )
    )


def check_method(config: ConfigDict) -> None:
    """Refuse option values that are none of their choices."""
    for key, choices in {
        "alignment.relation": ("direct", "pairwise"),
        "alignment.student_space": ("neck", "feature"),
        "prompts.compare": ("clean", "train"),
        "cross.anchor": ("centre", "sample"),
        "carry_classifier": ("never", "equal_count"),
        "norm.eval_statistics": ("running", "instance"),
    }.items():
        value = functools.reduce(getattr, key.split("."), config)
        _choose(f"config.{key}", value, choices)
    check_per_dataset(
        "config.prototypes.infrared_from",
        config.prototypes.infrared_from,
        ("infrared", "visible"),
    )
    check_per_dataset(
        "config.eval.modality", config.eval.modality, ("own", "swapped")
    )


def optimiser(config: ConfigDict) -> Optimiser:
    """Make the optimiser's settings."""
    return Optimiser(epochs=config.train.epochs, **config.optim)


def augment(config: ConfigDict) -> Augment:
    """Make the augmentation."""
    settings = config.augment
    return Augment(
        image_size=tuple(config.model.image_size),
        flip=settings.flip,
        infrared=tuple(range(1, len(MODALITIES))) if settings.infrared else (),
        brightness=settings.brightness,
        contrast=settings.contrast,
        blur_sigma=tuple(settings.blur_sigma),
        mean=tuple(settings.mean),
        std=tuple(settings.std),
        erasing=config.erasing.probability,
        fill=config.erasing.fill,
        dtype=config.model.dtype,
    )


def learner(config: ConfigDict, planned: tuple[Stage, ...], capacity: int) -> Learner:
    """Make what learns; `capacity` as for `method`."""
    return Learner(
        model=model(config, sum(stage.classes for stage in planned)),
        method=method(config, capacity),
        optimiser=optimiser(config),
        prepare=augment(config),
    )


def variables(config: ConfigDict, learns: Learner) -> Tree:
    """Initialise the model and the method's own modules, and load weights."""
    key = keys.stream(jax.random.key(config.seed), "init")
    h, w = config.model.image_size
    images = jnp.zeros((len(MODALITIES), 1, h, w, 3))

    @jax.jit
    def init(key: jax.Array) -> Tree:
        (_, outputs), made = learns.model.init_with_output(key, images)
        extra = init_extra(learns.method.modules, keys.stream(key, "extra"), outputs)
        return {**made, "params": {**made["params"], "extra": extra}} if extra else made

    made = init(key)
    if not config.init.weights:
        return made
    return pretrained.load_backbone(
        config.init.weights,
        made,
        grid=grid(config),
        allow_missing=config.init.allow_missing,
        allow_extra=config.init.allow_extra,
    )


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


def compiled_step(config: ConfigDict, learns: Learner, cluster: Cluster):
    """Compile the training step for the devices; the state given to it is consumed."""
    rows = config.train.identities * config.train.images
    cluster.check_rows(rows, "a batch (config.train.identities x config.train.images)")
    return jax.jit(
        make_step(learns), donate_argnums=0, out_shardings=cluster.replicated()
    )


def assemble(
    config: ConfigDict, workdir: Path, cluster: Cluster, lineage: Lineage = Lineage()
) -> Run:
    """Make a run from a config, with the data that it names.

    Args:
        config: resolved and locked.
        workdir: the run directory.
        cluster: the devices.
        lineage: what the run goes on from.

    Raises:
        InputError: whatever cannot work, before any long work.
    """
    check_seed(config)
    loaded = datasets(config, world(config, workdir))
    planned = stages(config, loaded, first_index=lineage.first_index)
    capacity = max([lineage.identities, *(stage.classes for stage in planned)])
    learns = learner(config, planned, capacity)
    made = variables(config, learns)
    key = jax.random.key(config.seed)
    memory = learns.method.init(keys.stream(key, "memory"), made)
    start = Snapshot(variables=made, memory=memory, stage=jnp.int32(START))
    return Run(
        workdir=workdir,
        key=key,
        stages=planned,
        datasets=tuple(loaded.values()),
        learner=learns,
        step=compiled_step(config, learns, cluster),
        evaluator=evaluator(config, learns, cluster),
        origin=cluster.replicate(start),
        learned_before=frozenset(lineage.learned),
        stream=lambda stage: stream(config, stage, cluster.shard),
        carry_classifier=config.carry_classifier,
        pauses=Pauses(
            log_every=config.train.log_every,
            checkpoint_every=config.train.checkpoint_every,
            eval_every=config.eval_every,
        ),
        evaluate_start=config.eval.before and lineage.first_index == 0,
        evaluate_unseen=config.eval.unseen,
        examples=config.report.queries,
    )


def extend(run: Run, origin: Origin) -> Run:
    """Start a run from what another one left behind, instead of fresh weights."""
    start = origin.snapshot(run.origin.variables, run.origin.memory)
    start = run.evaluator.embedder.cluster.replicate(start)
    return dataclasses.replace(run, origin=start)


def check_seed(config: ConfigDict) -> None:
    """Refuse a seed that no generator takes."""
    if config.seed < 0:
        raise InputError(f"config.seed={config.seed} is negative; choose 0 or more")


def results(config: ConfigDict, run: Run, origin: Origin | None) -> Results:
    """Open a run's results, or start them; an extended run goes on with the old ones."""
    names = [list(stage.names) for stage in run.stages]
    content = new_results(
        method=config.method,
        preset=config.preset,
        seed=config.seed,
        stages=names,
        datasets=[dataset.name for dataset in run.datasets],
    )
    if origin is not None:
        old = origin.results
        content["stages"] = old["stages"] + names
        content["datasets"] = list(dict.fromkeys(old["datasets"] + content["datasets"]))
        content["evaluations"] = list(old["evaluations"])
    is_main = run.evaluator.embedder.cluster.is_main
    return Results.open(run.workdir / RESULTS, content, writes=is_main)


def images_per_step(config: ConfigDict) -> int:
    """Count the images of all modalities in a batch."""
    return config.train.identities * config.train.images * len(MODALITIES)


def use_compile_cache(folder: str) -> None:
    """Keep compiled steps in a folder, so that the next run starts faster.

    Args:
        folder: a path; `auto` for the user's cache; empty for none.
    """
    if folder == "auto":
        cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
        folder = str(Path(cache).expanduser() / "ckda_jax")
    if folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
