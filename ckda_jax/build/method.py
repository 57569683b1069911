"""What a run learns by: its method, optimiser and augmentation."""

from ml_collections import ConfigDict

from ckda_jax.build.modalities import modalities
from ckda_jax.build.model import model
from ckda_jax.engine.augment import Augment
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.evaluate import per_dataset
from ckda_jax.engine.optim import Optimiser
from ckda_jax.engine.step import Learner
from ckda_jax.methods import METHODS, Settings, parts
from ckda_jax.methods.base import Method


def learner(
    config: ConfigDict, classes: int, capacity: int, devices: Cluster | None = None
) -> Learner:
    """Make what learns.

    Args:
        config: resolved and locked.
        classes: rows of the classifier.
        capacity: as for `method`.
        devices: what it will be compiled for; None: one device.
    """
    return Learner(
        model=model(config, classes),
        method=method(config, capacity),
        optimiser=optimiser(config),
        prepare=augment(config),
        hold=None if devices is None else devices.hold,
    )


def method(config: ConfigDict, capacity: int) -> Method:
    """Make the method; `capacity` is the number of identities of the largest stage."""
    return METHODS[config.method](
        Settings(
            metric=parts.Metric(
                margin=config.triplet.margin,
                normalize=config.triplet.normalize,
                start_epoch=config.triplet.start_epoch,
            ),
            identity={"weight": config.identity.weight},
            triplet={"weight": config.triplet.weight},
            contrastive=dict(config.contrastive),
            centres=dict(config.centres),
            cross={**config.cross, "unique": config.centres.unique},
            prompt_consistency={
                "weight": config.prompts.weight,
                "compare": config.prompts.compare,
            },
            alignment={
                "weight": config.alignment.weight,
                "inter_weight": config.alignment.inter_weight,
                "student_space": config.alignment.student_space,
                "infrared_from_visible": _infrared_from_visible(config),
                "capacity": capacity,
            },
            engine={
                "temperature": config.alignment.temperature,
                "relation": config.alignment.relation,
                "relation_temperature": config.alignment.relation_temperature,
            },
            merge={
                "old_weight": config.merge.old_weight,
                "carry_classifier": config.carry_classifier,
            },
        )
    )


def _infrared_from_visible(config: ConfigDict) -> frozenset[str]:
    """Name the datasets whose infrared prototypes are made of visible images."""
    source = config.prototypes.infrared_from
    return frozenset(
        name
        for name in config.stages
        if per_dataset(source, name, "infrared") == "visible"
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
        infrared=tuple(range(1, len(modalities(config)))) if settings.infrared else (),
        brightness=settings.brightness,
        contrast=settings.contrast,
        blur_sigma=tuple(settings.blur_sigma),
        mean=tuple(settings.mean),
        std=tuple(settings.std),
        erasing=config.erasing.probability,
        fill=config.erasing.fill,
        dtype=config.model.dtype,
    )
