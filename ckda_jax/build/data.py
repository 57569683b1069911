"""The data of a run: its world, datasets, stages and batches."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from ckda_jax.build.modalities import modalities
from ckda_jax.data import catalog, decode, own, prepared, synthetic
from ckda_jax.data.dataset import EVERY, Dataset, Options
from ckda_jax.data.images import Substitutes
from ckda_jax.data.pipeline import Loading, TrainingStream
from ckda_jax.data.protocol import LIFELONG
from ckda_jax.data.sampling import PairedSampler
from ckda_jax.engine.origin import Lineage
from ckda_jax.engine.stage import Pace, Stage, plan
from ckda_jax.retrieval.protocols import RULES, Rule
from ckda_jax.structs import InputError, Records, concatenate_records

WORLD = "world"
"""Folder of a run's synthetic world."""

AT_ONCE = 64
"""Queries whose galleries are looked at together; most often the first have answers."""

Count = Callable[[int, int], None]
"""Is told how many are done, of how many."""

Note = Callable[[str], None]
"""Is told what a user should know, in a line."""


def world(
    config: ConfigDict, workdir: Path, progress: Count | None = None
) -> dict[str, str]:
    """Return every dataset's root folder, drawing a synthetic world if asked to.

    The root of an own dataset that a table lists is the table.
    """
    given = catalog.own_sources(config.data.own)
    if not config.data.synthetic.enabled:
        return {**config.data.roots, **given}
    wanted = config.data.synthetic
    size = synthetic.Size(
        identities=wanted.identities,
        test_identities=wanted.test_identities,
        images=wanted.images,
    )
    seed = config.seed if wanted.seed < 0 else wanted.seed
    used = {*config.stages, *config.eval_only}
    sites = [name for name in synthetic.NAMES if name in used]
    if not sites:
        return given
    roots = synthetic.write(
        workdir / WORLD, seed=seed, size=size, sites=sites, progress=progress
    )
    return {name: str(root) for name, root in roots.items()} | given


def check_names(config: ConfigDict) -> None:
    """Refuse a sequence of datasets that is empty, repeats itself or is not there."""
    names = [*config.stages, *config.eval_only]
    drawn = config.data.synthetic.enabled
    known = [*(synthetic.NAMES if drawn else config.data.roots)]
    known += catalog.own_sources(config.data.own)
    if not config.stages:
        raise InputError("config.stages is empty; name at least one dataset")
    for name in names:
        if name not in known:
            raise InputError(
                f"config.stages or config.eval_only names {name!r}; "
                f"there are {', '.join(known)}"
            )
        if names.count(name) > 1:
            raise InputError(
                f"{name!r} stands more than once in config.stages and "
                "config.eval_only; name each dataset once"
            )


def check_protocols(config: ConfigDict) -> None:
    """Refuse protocols that are not there."""
    names = [*config.stages, *config.eval_only]
    own_names = own.protocol_names(modalities(config))
    table = dict.fromkeys(catalog.own_sources(config.data.own), own_names)
    catalog.check_protocols(
        config.eval.protocols, names, {**table, **catalog.PROTOCOLS}
    )


def require_lifelong(config: ConfigDict) -> None:
    """Refuse to learn without the protocols that forgetting is computed of."""
    for name in (*config.stages, *config.eval_only):
        if not {LIFELONG, EVERY} & {*catalog.asked_of(name, config.eval.protocols)}:
            raise InputError(
                f"config.eval.protocols={config.eval.protocols} leaves out "
                f"{name}/{LIFELONG}, of which averages and forgetting are computed; "
                "add lifelong"
            )


def check_new(config: ConfigDict, lineage: Lineage) -> None:
    """Refuse to learn a dataset again that the extended run has learned."""
    again = [name for name in config.stages if name in lineage.learned]
    if again:
        raise InputError(
            f"config.stages names {', '.join(again)}, which {lineage.init_from} has "
            "learned; name what is new there, and the earlier ones in config.eval_only"
        )


def datasets(config: ConfigDict, roots: dict[str, str]) -> dict[str, Dataset]:
    """Load every dataset that is learned or evaluated; no image is opened.

    Those that are only evaluated are left without training images.
    """
    loaded = {name: _dataset(config, name, roots[name]) for name in config.stages}
    _require_training(loaded)
    for name in config.eval_only:
        dataset = _dataset(config, name, roots[name])
        none = dataset.train.take(np.arange(0))
        loaded[name] = dataclasses.replace(dataset, train=none)
    found = {name: tuple(dataset.protocols) for name, dataset in loaded.items()}
    catalog.check_protocols(config.eval.protocols, tuple(loaded), found)
    for dataset in loaded.values():
        require_scores(dataset)
        _require_prepared(config, dataset)
    return loaded


def check_images(
    config: ConfigDict,
    loaded: dict[str, Dataset],
    progress: Count | None = None,
    note: Note | None = None,
) -> None:
    """Decode every image of a run before anything is learned.

    Args:
        config: of the run.
        loaded: its datasets.
        progress: told how many are decoded.
        note: told of images that are put up with.

    Raises:
        InputError: images that cannot be used, or too many of them.
    """
    tables = [loaded[name].train for name in config.stages]
    for dataset in loaded.values():
        for protocol in dataset.protocols.values():
            tables += [protocol.query, protocol.gallery]
    threads = max(config.data.threads, 1)
    every = concatenate_records(tables)
    # Protocols share images.
    every = every.take(np.unique(every.paths, return_index=True)[1])
    problems = decode.find_unusable(every, threads=threads, progress=progress)
    if config.data.bad_images == "skip":
        for name in config.stages:
            problems = _replace(loaded[name], problems, note)
        more = "; config.data.bad_images=skip replaces training images only"
        decode.refuse_unusable(problems, len(every), more)
    decode.refuse_unusable(problems, len(every))


def _replace(
    dataset: Dataset, problems: dict[str, str], note: Note | None
) -> dict[str, str]:
    """Put up with a few bad training images; return the problems of other images."""
    learned = set(dataset.train.paths.tolist())
    own = {path: problems[path] for path in problems if path in learned}
    decode.allow_few(own, len(learned), "config.data.bad_images=skip")
    if own and note is not None:
        note(
            f"{dataset.name}: others of the same identity and modality take the place "
            f"of {len(own)} of {len(learned)} training images: "
            f"{decode.name_problems(own)}"
        )
    return {path: said for path, said in problems.items() if path not in own}


def _require_prepared(config: ConfigDict, dataset: Dataset) -> None:
    """Refuse a prepared root without the images of a run, before any long work."""
    root = prepared.at(dataset.root)
    if root is None:
        return
    size = tuple(config.model.image_size)
    if dataset.name in config.stages:
        for chain in (dataset.resize_train, decode.FEATURE_CHAIN):
            root.require(dataset.train.paths.tolist(), size, chain)
    for protocol in dataset.protocols.values():
        for table in (protocol.query, protocol.gallery):
            root.require(table.paths.tolist(), size, dataset.resize_test)


def _require_training(learned: dict[str, Dataset]) -> None:
    """Refuse to learn a dataset that has nothing to learn of."""
    for name, dataset in learned.items():
        if len(dataset.train) == 0:
            raise InputError(
                f"config.stages names {name}, but {dataset.root} has no training "
                "images; add them, or name it in config.eval_only"
            )


def require_scores(dataset: Dataset) -> None:
    """Refuse a protocol whose scoring rule leaves no query anything to find."""
    for protocol in dataset.protocols.values():
        query, gallery = map(protocol.items, (protocol.query, protocol.gallery))
        for trial in protocol.each_trial():
            searched, offered = query.take(trial.query), gallery.take(trial.gallery)
            if not _finds_any(RULES[protocol.rule], searched, offered):
                raise InputError(
                    f"{dataset.name}, protocol {protocol.name}: its rule takes every "
                    "image of a query's identity out of the gallery, nothing can be "
                    f"found; complete the test images or lists in {dataset.root}"
                )


def _finds_any(rule: Rule, query: Records, gallery: Records) -> bool:
    """Tell whether a query has a right image that the rule leaves in the gallery."""
    for start in range(0, len(query), AT_ONCE):
        some = query.take(np.arange(start, min(start + AT_ONCE, len(query))))
        removed = rule.removal(
            some.identity, some.camera, gallery.identity, gallery.camera
        )
        if np.any((some.identity[:, None] == gallery.identity) & ~removed):
            return True
    return False


def _dataset(config: ConfigDict, name: str, root: str) -> Dataset:
    options = Options(
        trial=config.data.trial,
        seed=config.eval.seed,
        max_identities=config.data.max_identities,
        resample=config.data.resample,
        protocols=catalog.asked_of(name, config.eval.protocols),
        galleries=config.eval.galleries,
        permutations=config.eval.permutations,
        modalities=modalities(config),
        own_rule=config.data.own_rule,
    )
    load = catalog.load if name in catalog.DATASETS else catalog.load_own
    return load(name, root, options)


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


def stream(
    config: ConfigDict,
    stage: Stage,
    shard: tuple[int, int] = (0, 1),
    note: Note | None = None,
) -> TrainingStream:
    """Open the training batches of a stage."""
    loading = Loading(
        size=tuple(config.model.image_size),
        chain=stage.chain,
        threads=config.data.threads,
        workers=config.data.workers,
        cache_bytes=int(config.data.cache * 2**30),
        bad_images=config.data.bad_images,
    )
    sampler = _sampler(config, stage)
    return TrainingStream(stage.records, sampler, loading, shard=shard, note=note)


def usable(config: ConfigDict, stage: Stage, rows: np.ndarray) -> np.ndarray:
    """Put the substitutes in place of rows of a stage whose images are bad, if allowed.

    Raises:
        InputError: a bad image without a substitute.
    """
    if config.data.bad_images != "skip":
        return rows
    substitutes = Substitutes(stage.labels, stage.records.modality)
    threads = max(config.data.threads, 1)
    return substitutes.put(rows, stage.records, threads)


def _sampler(config: ConfigDict, stage: Stage) -> PairedSampler:
    try:
        return PairedSampler(
            stage.labels,
            stage.records.modality,
            identities=config.train.identities,
            images=config.train.images,
            modalities=modalities(config),
            steps=stage.steps,
            seed=config.seed,
            stage=stage.index,
        )
    except InputError as error:
        raise InputError(f"{stage.name}: {error}") from None


def images_per_step(config: ConfigDict) -> int:
    """Count the images of all modalities in a batch."""
    return config.train.identities * config.train.images * len(modalities(config))
