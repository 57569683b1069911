"""The catalog: every dataset by name, and every protocol by name."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ckda_jax.data import llcm, regdb, sysu, vcm
from ckda_jax.data.dataset import EVERY, require_answers, require_strangers
from ckda_jax.data.dataset import Dataset as Dataset
from ckda_jax.data.dataset import Options as Options
from ckda_jax.structs import InputError

DATASETS: dict[str, Callable[[str | Path, Options], Dataset]] = {
    "regdb": regdb.load,
    "sysu": sysu.load,
    "llcm": llcm.load,
    "vcm": vcm.load,
}

DEFAULTS = Options()

PROTOCOLS: dict[str, tuple[str, ...]] = {
    "regdb": tuple(regdb.PROTOCOLS),
    "sysu": tuple(sysu.PROTOCOLS),
    "llcm": tuple(llcm.PROTOCOLS),
    "vcm": tuple(vcm.PROTOCOLS),
}
"""The names of each dataset's protocols, the one of the lifelong table first."""


def load(name: str, root: str | Path, options: Options = DEFAULTS) -> Dataset:
    """Load a dataset's tables of images; no image is opened.

    Args:
        name: key of `DATASETS`.
        root: the dataset's folder.
        options: what is asked of it.

    Returns:
        The dataset; its training identities have both modalities and are in none of
        its protocols, each of which has a query that can be found.

    Raises:
        InputError: an unknown name, a wrong or incomplete root, an unusable index file,
            absent images, an identity with one modality only, a protocol in which
            nothing can be found or people are known.
    """
    if name not in DATASETS:
        raise InputError(f"no dataset {name!r}; choose one of {', '.join(DATASETS)}")
    try:
        dataset = DATASETS[name](root, options)
    except OSError as error:
        raise InputError(
            f"{name}: {root} cannot be read ({error}); check its permissions"
        ) from error
    require_answers(dataset)
    require_strangers(dataset)
    return dataset


def asked_of(dataset: str, words: Iterable[str]) -> tuple[str, ...]:
    """Return the protocols that words ask of a dataset, see `check_protocols`.

    >>> asked_of("sysu", ["lifelong", "sysu/all-multi", "llcm/all"])
    ('lifelong', 'all-multi')
    """
    split = [word.rpartition("/") for word in words]
    return tuple(name for own, _, name in split if own in ("", dataset))


def check_protocols(words: Iterable[str], datasets: Sequence[str]) -> None:
    """Refuse words that ask for no protocol of the datasets.

    Args:
        words: `NAME`, of every dataset that has it, or `DATASET/NAME`; a NAME may be
            `all`.
        datasets: names of the datasets at hand.

    Raises:
        InputError: naming the word and all there is.
    """
    known = [f"{name}/{own}" for name in datasets for own in PROTOCOLS[name]]
    for word in words:
        dataset, _, name = word.rpartition("/")
        if not any(
            dataset in ("", own.split("/")[0]) and name in (EVERY, own.split("/")[1])
            for own in known
        ):
            raise InputError(
                f"there is no protocol {word!r} here; there are all, {', '.join(known)}"
            )
