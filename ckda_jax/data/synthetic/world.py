"""Worlds on disk: the four synthetic datasets, whole or not at all."""

import dataclasses
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from ckda_jax.data.synthetic import llcm, regdb, sites, sysu, vcm
from ckda_jax.data.synthetic.camera import Camera, follow, shoot
from ckda_jax.data.synthetic.layout import Layout, Picture, Size
from ckda_jax.data.synthetic.people import Person, population
from ckda_jax.data.synthetic.picture import render
from ckda_jax.data.synthetic.streams import stream
from ckda_jax.locks import locked
from ckda_jax.structs import InputError

VERSION = 2
"""Of what a seed and a size give; raised whenever the pictures or layouts change."""
RECORD = "world.json"
LAYOUTS = {
    "regdb": regdb.layout,
    "sysu": sysu.layout,
    "llcm": llcm.layout,
    "vcm": vcm.layout,
}


def write(
    root: str | os.PathLike[str],
    *,
    seed: int,
    size: Size,
    sites: Sequence[str] = sites.NAMES,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Path]:
    """Write a synthetic world, or find it already written.

    The same seed, size and sites give the same bytes (under one version of Pillow). The
    world is drawn in a folder beside `root` and renamed when complete. Processes that
    ask for the same world at once wait for the first; what a killed one had drawn is
    removed.

    Args:
        root: folder to make.
        seed: of people, cameras, places and chance.
        size: how many people and images.
        sites: which datasets, names in `sites.NAMES`.
        progress: called with the numbers of pictures drawn and of all pictures.

    Returns:
        Root folder of each dataset by site name.

    Raises:
        InputError: an unknown site, a negative seed, or a `root` that holds something
            else, another world included.
    """
    root = Path(root)
    plans = _plans(seed, size, sites)
    record = {
        "version": VERSION,
        "seed": seed,
        "size": dataclasses.asdict(size),
        "sites": list(plans),
    }
    if not _complete(root, record):
        try:
            root.parent.mkdir(parents=True, exist_ok=True)
            with locked(root.parent / f".{root.name}.lock") as alone:
                if alone:
                    _clear(root)
                if not _complete(root, record):
                    _make(root, record, plans, progress)
        except OSError as error:
            raise InputError(
                f"cannot write a synthetic world to {root}: {error}; choose a folder "
                "that can be written and has room"
            ) from error
    return {site: root / plan.folder for site, plan in plans.items()}


def _plans(seed: int, size: Size, names: Sequence[str]) -> dict[str, Layout]:
    if seed < 0:
        raise InputError(f"seed = {seed} is negative; give 0 or more")
    unknown = [name for name in names if name not in LAYOUTS]
    if unknown or not names:
        raise InputError(
            f"no site {unknown} in {tuple(names)}; choose of {sites.NAMES}"
        )
    return {name: LAYOUTS[name](size, seed=seed) for name in names}


def _complete(root: Path, record: dict) -> bool:
    """Tell whether the very world stands already; refuse anything else that stands."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = dict(json.loads((root / RECORD).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{root} is not empty and no synthetic world ({RECORD}: {error}); "
            "choose another folder or remove it"
        ) from error
    if found != record:
        differ = {
            key: (found.get(key), record[key])
            for key in record
            if found.get(key) != record[key]
        }
        raise InputError(
            f"{root} holds another synthetic world (there, asked for): {differ}; "
            "choose another folder or remove it"
        )
    return True


def _clear(root: Path) -> None:
    """Remove drafts of processes killed on this host; while one is alone, all were.

    A lock may hold for one host alone, so those of other hosts stay.
    """
    here = re.escape(f".{root.name}.{platform.node()}.")
    mine = re.compile(rf"{here}\d+\.partial")
    for path in root.parent.iterdir():
        if mine.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _make(
    root: Path,
    record: dict,
    plans: Mapping[str, Layout],
    progress: Callable[[int, int], None] | None,
) -> None:
    """Draw a world beside its root and rename it when complete."""
    name = f".{root.name}.{platform.node()}.{os.getpid()}.partial"
    draft = root.parent / name
    try:
        _draw(draft, plans, record["seed"], record["size"]["height"], progress)
        (draft / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        _publish(draft, root, record)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _publish(draft: Path, root: Path, record: dict) -> None:
    """Rename a finished draft; another process may have been first with the same."""
    try:
        draft.replace(root)
    except OSError:
        if not _complete(root, record):
            raise


def _draw(
    draft: Path,
    plans: Mapping[str, Layout],
    seed: int,
    height: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    total = sum(len(plan.pictures) for plan in plans.values())
    done = 0
    for site, plan in plans.items():
        folder = draft / plan.folder
        numbers = range(1 + max(picture.person for picture in plan.pictures))
        people = population(seed, numbers, domain=site)
        cameras = sites.cameras(site, seed)
        tall = round(height * plan.shrink / 2) * 2
        for place in sorted({Path(p.path).parent for p in plan.pictures}):
            (folder / place).mkdir(parents=True, exist_ok=True)
        for picture in plan.pictures:
            camera = cameras[picture.camera]
            _take(folder, picture, people[picture.person], camera, (seed, site, tall))
            done += 1
            if progress is not None:
                progress(done, total)
        _write_rest(folder, plan)


def _take(
    folder: Path,
    picture: Picture,
    person: Person,
    camera: Camera,
    where: tuple[int, str, int],
) -> None:
    """Draw one picture and save it in the format that its name asks for."""
    seed, site, height = where
    shot = shoot(camera, stream(seed, site, "shot", picture.shot), view=picture.view)
    if picture.frame:
        rng = stream(seed, site, "frame", picture.shot, picture.frame)
        shot = follow(shot, rng, picture.frame)
    pixels = render(person, shot, camera, seed=seed, size=(height, height // 2))
    image = Image.fromarray(pixels)
    if picture.path.endswith(".jpg"):
        image.save(folder / picture.path, quality=shot.quality)
    else:
        image.save(folder / picture.path)


def _write_rest(folder: Path, plan: Layout) -> None:
    """Write a dataset's index files and the files that repeat others."""
    for path, text in plan.texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text.encode())
    for path, source in plan.copies.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / source, folder / path)
