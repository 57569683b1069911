"""A run directory as a report reads it; every piece of it may be missing."""

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ckda_jax.files import CONFIG, EXAMPLES, RESULTS
from ckda_jax.reporting import scores, writer
from ckda_jax.structs import MODALITIES, InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptMaps:
    """Images of one dataset with the size of the prompts that were added to them.

    Attributes:
        modality: `[p]`, modality of each of the p rows.
        images: `[p, n, h, w, 3]` uint8.
        common: `[p, n, h, w]`, mean absolute modality-common prompt over the channels.
        specific: `[p, n, h, w]`, the same of the modality-specific prompt.
    """

    modality: np.ndarray
    images: np.ndarray
    common: np.ndarray
    specific: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
    """What the last evaluation left to look at for one dataset.

    Attributes:
        dataset: name.
        protocol: name of the protocol of the ranked lists.
        queries: ranked lists as written: `query` and `gallery` entries.
        prompts: None when the run left none.
    """

    dataset: str
    protocol: str
    queries: list[dict[str, Any]]
    prompts: PromptMaps | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunDirectory:
    """The files of a run, read; empty where there is none.

    Attributes:
        path: the directory.
        config: resolved config.
        results: content of `results.json`.
        rows: lines of `metrics.jsonl`.
        examples: one per dataset, in evaluation order.
    """

    path: Path
    config: dict[str, Any]
    results: dict[str, Any]
    rows: list[dict[str, Any]]
    examples: list[Examples]

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the run's modalities."""
        return tuple(self.config.get("modalities", MODALITIES))


def read(workdir: str | Path) -> RunDirectory:
    """Read what a run left in its directory.

    Raises:
        InputError: no such directory, or a file in it that cannot be read.
    """
    path = Path(workdir)
    if not path.is_dir():
        raise InputError(f"{path}: no such directory; give the --workdir of a run")
    results = _read_json(path / RESULTS)
    if results:
        scores.check_format(results, str(path / RESULTS))
    return RunDirectory(
        path=path,
        config=_read_json(path / CONFIG),
        results=results,
        rows=writer.read_rows(path / writer.METRICS_FILE),
        examples=_read_examples(path / EXAMPLES, list(results.get("datasets", []))),
    )


def _read_examples(folder: Path, order: list[str]) -> list[Examples]:
    names = {file.stem for kind in ("json", "npz") for file in folder.glob(f"*.{kind}")}
    place = {name: i for i, name in enumerate(order)}
    found = []
    for name in sorted(names, key=lambda name: (place.get(name, len(order)), name)):
        lists = _read_json(folder / f"{name}.json")
        found.append(
            Examples(
                dataset=name,
                protocol=str(lists.get("protocol", "")),
                queries=list(lists.get("queries", [])),
                prompts=_read_prompts(folder / f"{name}.npz"),
            )
        )
    return found


def _read_prompts(path: Path) -> PromptMaps | None:
    if not path.exists():
        return None
    try:
        with np.load(path) as file:
            found = {"modality": np.arange(len(file["images"])), **file}
            names = (field.name for field in dataclasses.fields(PromptMaps))
            return PromptMaps(**{name: found[name] for name in names})
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: no readable prompt maps ({error}); remove it and evaluate again"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no JSON object; restore or remove it")
    return value
