"""The catalog: every dataset by name, and every protocol by name."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from ckda_jax.data import llcm, regdb, sysu, vcm
from ckda_jax.data.complaint import Complain
from ckda_jax.data.dataset import EVERY, require_answers, require_strangers
from ckda_jax.data.dataset import Dataset as Dataset
from ckda_jax.data.dataset import Options as Options
from ckda_jax.data.layout import Layout, open_root, require_images
from ckda_jax.data.survey import Survey, of_dataset
from ckda_jax.structs import InputError

DATASETS: dict[str, Callable[[str | Path, Options], Dataset]] = {
    "regdb": regdb.load,
    "sysu": sysu.load,
    "llcm": llcm.load,
    "vcm": vcm.load,
}

LAYOUTS: dict[str, Callable[[Options], Layout]] = {
    "regdb": lambda options: regdb.layout(options.trial),
    "sysu": lambda options: sysu.LAYOUT,
    "llcm": lambda options: llcm.LAYOUT,
    "vcm": lambda options: vcm.LAYOUT,
}
"""What must lie in the folder of each published dataset."""


class Surveyor(Protocol):
    """Lists what the index files of a dataset name; see `regdb.survey`."""

    def __call__(
        self,
        root: Path,
        options: Options,
        complain: Complain = ...,
        *,
        index_only: bool = ...,
    ) -> Survey: ...


SURVEYS: dict[str, Surveyor] = {
    "regdb": regdb.survey,
    "sysu": sysu.survey,
    "llcm": llcm.survey,
    "vcm": vcm.survey,
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
    check_name(name)
    with _readable(name, root):
        dataset = DATASETS[name](root, options)
    require_answers(dataset)
    require_strangers(dataset)
    return dataset


def survey(
    name: str, root: str | Path, options: Options, *, index_only: bool = False
) -> Survey:
    """List every image of a dataset, also those that no run uses; none is opened.

    Args:
        name: key of `DATASETS`.
        root: the dataset's folder, as given to `--root`.
        options: what is asked of it.
        index_only: do without the images, and without what only names them.

    Raises:
        InputError: an unknown name, a wrong or incomplete root, an unusable index file,
            absent images.
    """
    check_name(name)
    if name not in SURVEYS and index_only:
        raise InputError(f"--index-only: {name} has no index files; leave it out")
    if name not in SURVEYS:
        return of_dataset(load(name, root, options))
    layout = LAYOUTS[name](options)
    with _readable(name, root):
        expected = layout.without_images() if index_only else layout
        folder = open_root(root, expected, "--root")
        found = SURVEYS[name](folder, options, index_only=index_only)
        if not index_only:
            for table in found.splits.values():
                require_images(folder, layout, table.paths.tolist())
    return found


def check_name(name: str) -> None:
    """Refuse the name of no dataset."""
    if name not in DATASETS:
        raise InputError(f"no dataset {name!r}; choose one of {', '.join(DATASETS)}")


@contextlib.contextmanager
def _readable(name: str, root: str | Path) -> Iterator[None]:
    """Turn what the system says of a folder into a line that names it."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{name}: {root} cannot be read ({error}); check its permissions"
        ) from error


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
