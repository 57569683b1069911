"""The catalog: every dataset by name, and every protocol by name."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ckda_jax.data import folder, llcm, regdb, sysu, table, vcm
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
    return _checked(name, root, lambda: DATASETS[name](root, options))


def own_sources(words: Iterable[str]) -> dict[str, str]:
    """Read where own datasets lie, from words `NAME=FOLDER` or `NAME=TABLE`.

    Raises:
        InputError: a word of another form, a name that is taken.

    >>> own_sources(["gate=data/gate", "yard=data/yard.csv"])
    {'gate': 'data/gate', 'yard': 'data/yard.csv'}
    """
    found: dict[str, str] = {}
    for word in words:
        name, _, path = word.partition("=")
        if not re.fullmatch(r"[a-z0-9_-]+", name) or not path:
            raise InputError(
                f"config.data.own={word!r}: must be NAME=FOLDER or NAME=TABLE, with a "
                "name of lower-case letters, digits, - and _"
            )
        if name in DATASETS or name in found:
            raise InputError(
                f"config.data.own={word!r}: there is a dataset {name} already; choose "
                "another name"
            )
        found[name] = path
    return found


def load_own(name: str, path: str | Path, options: Options = DEFAULTS) -> Dataset:
    """Load an own dataset from a folder or a table; no image is opened.

    Args:
        name: what it is called.
        path: of the folder, see `folder.load`, or of the table, see `table.load`.
        options: what is asked of it.

    Raises:
        InputError: as of `load`.
    """
    is_table = Path(path).suffix.lower() in table.SUFFIXES
    read = table.load if is_table else folder.load
    return _checked(name, path, lambda: read(name, path, options))


def _checked(name: str, root: str | Path, read: Callable[[], Dataset]) -> Dataset:
    """Read a dataset and refuse one that nothing can be learned of by its protocols."""
    try:
        dataset = read()
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
    return tuple(name for owner, _, name in split if owner in ("", dataset))


def check_protocols(
    words: Iterable[str],
    datasets: Sequence[str],
    protocols: Mapping[str, Sequence[str]] = PROTOCOLS,
) -> None:
    """Refuse words that ask for no protocol of the datasets.

    Args:
        words: `NAME`, of every dataset that has it, or `DATASET/NAME`; a NAME may be
            `all`.
        datasets: names of the datasets at hand.
        protocols: names of each dataset's protocols.

    Raises:
        InputError: naming the word and all there is.
    """
    known = [f"{name}/{one}" for name in datasets for one in protocols[name]]
    for word in words:
        dataset, _, name = word.rpartition("/")
        if not any(
            dataset in ("", one.split("/")[0]) and name in (EVERY, one.split("/")[1])
            for one in known
        ):
            raise InputError(
                f"there is no protocol {word!r} here; there are all, {', '.join(known)}"
            )
