"""The catalog: every dataset by name."""

from collections.abc import Callable
from pathlib import Path

from ckda_jax.data import llcm, regdb, sysu, vcm
from ckda_jax.data.dataset import Dataset as Dataset
from ckda_jax.data.dataset import Options as Options
from ckda_jax.data.dataset import Protocol as Protocol
from ckda_jax.data.dataset import require_answers, require_strangers
from ckda_jax.structs import InputError

DATASETS: dict[str, Callable[[str | Path, Options], Dataset]] = {
    "regdb": regdb.load,
    "sysu": sysu.load,
    "llcm": llcm.load,
    "vcm": vcm.load,
}


def load(
    name: str,
    root: str | Path,
    *,
    trial: int = 1,
    seed: int = 0,
    max_identities: int = 0,
    resample: str = "direct",
) -> Dataset:
    """Load a dataset's tables of images; no image is opened.

    Args:
        name: key of `DATASETS`.
        root: the dataset's folder.
        trial: RegDB's split, 1 to 10; the other datasets have one split.
        seed: of the galleries that are drawn.
        max_identities: training identities kept, the first in label order; 0: all.
        resample: `direct` or `reference`, which sets the names of the resize chains.

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
    options = Options(
        trial=trial, seed=seed, max_identities=max_identities, resample=resample
    )
    try:
        dataset = DATASETS[name](root, options)
    except OSError as error:
        raise InputError(
            f"{name}: {root} cannot be read ({error}); check its permissions"
        ) from error
    require_answers(dataset)
    require_strangers(dataset)
    return dataset
