"""The catalog: every dataset by name, and every protocol by name."""

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ckda_jax.data import folder, llcm, regdb, sysu, table, vcm
from ckda_jax.data.complaint import Complain
from ckda_jax.data.dataset import EVERY, require_answers, require_strangers
from ckda_jax.data.dataset import Dataset as Dataset
from ckda_jax.data.dataset import Options as Options
from ckda_jax.data.layout import Layout, open_root, require_images
from ckda_jax.data.survey import Survey
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
    "folder": folder.survey,
    "table": table.survey,
}
"""What `data describe` and `data check` can look at: also one's own data."""

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
    with readable(name, root):
        dataset = DATASETS[name](root, options)
    return _checked(dataset)


def survey(
    name: str, root: str | Path, options: Options, *, index_only: bool = False
) -> Survey:
    """List every image of a dataset, also those that no run uses; none is opened.

    Args:
        name: key of `SURVEYS`.
        root: the dataset's folder, or the table, as given to `--root`.
        options: what is asked of it.
        index_only: do without the images, and without what only names them.

    Raises:
        InputError: an unknown name, a wrong or incomplete root, an unusable index file,
            absent images.
    """
    check_name(name, SURVEYS)
    place = Path(os.path.abspath(Path(root).expanduser()))
    with readable(name, root):
        layout = Layout(title=name, key=name, entries=())
        if name in LAYOUTS:
            layout = LAYOUTS[name](options)
            expected = layout.without_images() if index_only else layout
            open_root(place, expected, "--root")
        found = SURVEYS[name](place, options, index_only=index_only)
        if not index_only:
            listed = (t.paths.tolist() for t in found.splits.values())
            every = itertools.chain.from_iterable(listed)
            inside = folder_of(place)
            names = (path.removeprefix(f"{inside}/") for path in every)
            require_images(inside, layout, names)
    return found


def folder_of(root: Path) -> Path:
    """Return the folder of a dataset, of which the root may be a table."""
    return root.parent if root.suffix.lower() in table.SUFFIXES else root


def check_name(name: str, known: Iterable[str] = DATASETS) -> None:
    """Refuse the name of no dataset."""
    if name not in known:
        raise InputError(f"no dataset {name!r}; choose one of {', '.join(known)}")


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
    with readable(name, path):
        dataset = read(name, path, options)
    return _checked(dataset)


def _checked(dataset: Dataset) -> Dataset:
    """Refuse a dataset that nothing can be learned of by its protocols."""
    require_answers(dataset)
    require_strangers(dataset)
    return dataset


@contextlib.contextmanager
def readable(name: str, root: str | Path) -> Iterator[None]:
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
