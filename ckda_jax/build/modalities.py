"""The modality axis of a run: its names, and what they must be."""

from ml_collections import ConfigDict

from ckda_jax.data import dataset
from ckda_jax.data.catalog import DATASETS
from ckda_jax.engine.evaluate import per_dataset
from ckda_jax.engine.origin import Lineage
from ckda_jax.structs import MODALITIES, InputError

_FIRST_TWO = f"{MODALITIES[0]} at place 0 and {MODALITIES[1]} at 1"


def modalities(config: ConfigDict) -> tuple[str, ...]:
    """Return the names of a run's modalities, in the order of the modality axis."""
    return tuple(config.get("modalities", MODALITIES))


def check_modalities(config: ConfigDict) -> None:
    """Refuse names that no run can use, or that its datasets or options cannot.

    Raises:
        InputError: the value, why it cannot be, and what can.
    """
    names = modalities(config)
    said = f"config.modalities={','.join(names)}"
    dataset.check_modalities(names, said)
    used = [*config.stages, *config.eval_only]
    published = [name for name in used if name in DATASETS]
    if published and names[:2] != MODALITIES:
        raise InputError(
            f"{said}: {published[0]} needs {_FIRST_TWO}; name them first, or leave "
            f"{published[0]} out"
        )
    _check_swapped(config, used)
    _check_prototypes(config)


def check_lineage(config: ConfigDict, lineage: Lineage) -> None:
    """Refuse to extend a run of other modalities.

    Raises:
        InputError: naming both.
    """
    names, before = modalities(config), lineage.modalities
    if before and before != names:
        raise InputError(
            f"config.modalities={','.join(names)}, but the model of "
            f"{lineage.init_from} knows {','.join(before)}; give those names in that "
            "order"
        )


def _check_swapped(config: ConfigDict, used: list[str]) -> None:
    names, value = modalities(config), config.eval.modality
    swapped = [name for name in used if per_dataset(value, name, "own") == "swapped"]
    if swapped and len(names) != 2:
        raise InputError(
            f"config.eval.modality={value!r}: only two modalities can be swapped, and "
            f"{swapped[0]} would be evaluated with {', '.join(names)}; set it to own"
        )


def _check_prototypes(config: ConfigDict) -> None:
    value = config.prototypes.infrared_from
    replaced = [n for n in config.stages if per_dataset(value, n, "") == "visible"]
    if replaced and modalities(config)[:2] != MODALITIES:
        raise InputError(
            f"config.prototypes.infrared_from={value!r} needs {_FIRST_TWO} of "
            "config.modalities; set it to infrared"
        )
