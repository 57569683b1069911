"""The index of a gallery, `gallery.json`: which model made it, and of what blocks.

It is written in one atomic step, and what it does not name does not exist.
"""

import contextlib
import dataclasses
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ckda_jax.files import write_json
from ckda_jax.retrieval.gallery import blocks
from ckda_jax.retrieval.gallery.blocks import Block
from ckda_jax.structs import InputError

FORMAT = 1
"""Version of the directory's layout."""

INDEX = "gallery.json"
BLOCKS = "blocks"

SIMILARITY = "cosine"
"""What a gallery's embeddings are compared by."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Maker:
    """The model that made a gallery's embeddings.

    Attributes:
        digest: of everything that decides an embedding.
        workdir: where its run lay; only a hint.
        stage: its 1-based stage.
    """

    digest: str
    workdir: str
    stage: int


@runtime_checkable
class Embeds(Protocol):
    """What can be compared with the maker of a gallery: that, or a loaded model."""

    @property
    def digest(self) -> str:
        """Digest of everything that decides an embedding."""
        ...

    @property
    def workdir(self) -> str | Path:
        """Directory of the run."""
        ...

    @property
    def stage(self) -> int:
        """Its 1-based stage."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Index:
    """The content of `gallery.json`.

    Attributes:
        model: what made the embeddings.
        width: of an embedding.
        dtype: what embeddings are kept as, a key of `blocks.DTYPES`.
        next_name: number of the next block; none is used twice.
        blocks: the gallery, in order.
    """

    model: Maker
    width: int
    dtype: str
    next_name: int = 1
    blocks: tuple[Block, ...] = ()


def read(folder: Path) -> Index:
    """Read and check `gallery.json`.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = folder / INDEX
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{folder} holds no gallery (no {INDEX} in it); make one with "
            "`python -m ckda_jax.embed --out`"
        ) from None
    except (OSError, ValueError) as error:
        raise _no_index(path, error) from error
    if isinstance(values, dict) and values.get("format", FORMAT) != FORMAT:
        raise InputError(
            f"{path}: format {values['format']} is not {FORMAT}, the one this version "
            f"of ckda_jax reads; rebuild it with `{rebuild(folder)}`"
        )
    try:
        return _index(values)
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise _no_index(path, error) from error


def write(folder: Path, index: Index) -> None:
    """Write `gallery.json`, whole or not at all."""
    values = dataclasses.asdict(index)
    write_json(folder / INDEX, {"format": FORMAT, "similarity": SIMILARITY, **values})


def rebuild(folder: Path, workdir: str = "WORKDIR", stage: int | None = None) -> str:
    """Write the command that embeds a gallery's images anew, into another directory.

    A block's table names its images as any table of images does.

    >>> rebuild(Path("people"), "runs/a", 2)
    "python -m ckda_jax.embed --workdir runs/a --stage 2 --images 'people/blocks/*.parquet' --out people-rebuilt"
    """  # noqa: E501
    which = [] if stage is None else ["--stage", str(stage)]
    tables = str(folder / BLOCKS / f"*{blocks.TABLE}")
    command = ["python", "-m", "ckda_jax.embed", "--workdir", workdir, *which]
    return shlex.join([*command, "--images", tables, "--out", f"{folder}-rebuilt"])


def other_model(folder: Path, index: Index, model: Embeds) -> str:
    """Say that a gallery is of another model, and what may be done."""
    made = index.model
    command = rebuild(folder, str(model.workdir), model.stage)
    return (
        f"{folder} holds embeddings of model {made.digest} (stage {made.stage} of "
        f"{made.workdir}), which do not compare with those of {model.digest} (stage "
        f"{model.stage} of {model.workdir}); name the run that made the gallery with "
        f"--workdir and --stage, or rebuild it with `{command}`"
    )


@contextlib.contextmanager
def with_remedy(folder: Path, model: Maker) -> Iterator[None]:
    """Say how to rebuild a gallery in which something damaged is found."""
    try:
        yield
    except InputError as error:
        command = rebuild(folder, model.workdir, model.stage)
        raise InputError(
            f"{error}; the gallery is damaged: rebuild it with `{command}`, which "
            "brings back what its whole tables name"
        ) from error


def _index(values: Any) -> Index:
    """Make an index of parsed JSON; whatever does not fit raises."""
    if values["similarity"] != SIMILARITY or values["dtype"] not in blocks.DTYPES:
        raise ValueError(f"{values['similarity']} of {values['dtype']} is unknown")
    made = values["model"]
    if not isinstance(made["digest"], str) or not isinstance(made["workdir"], str):
        raise ValueError("the model's digest and workdir must be text")
    for number in (made["stage"], values["width"], values["next_name"]):
        if type(number) is not int:
            raise ValueError("stage, width and next_name must be whole numbers")
    if not isinstance(values["blocks"], list):
        raise ValueError("blocks must be a list")
    named = tuple(map(blocks.from_json, values["blocks"]))
    if len({block.name for block in named}) < len(named):
        raise ValueError("a block stands in it twice")
    if any(int(block.name) >= values["next_name"] for block in named):
        raise ValueError("next_name is that of a block which is there already")
    return Index(
        model=Maker(**made),
        width=values["width"],
        dtype=values["dtype"],
        next_name=values["next_name"],
        blocks=named,
    )


def _no_index(path: Path, error: Exception) -> InputError:
    cause = " ".join(str(error).split())
    return InputError(
        f"{path}: cannot be read ({cause}); restore the file, or rebuild the gallery "
        f"with `{rebuild(path.parent)}`"
    )
