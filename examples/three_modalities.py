"""Two sites of one's own, drawn: a gate with three kinds of cameras, a yard with two.

    python examples/three_modalities.py --out data/own

`OUT/gate` is a folder in the layout that `config.data.own` reads. `OUT/yard.csv` is a
table of the images in `OUT/yard-images`, in tracklets; nobody filmed the yard in near
infrared. People and cameras are made as the synthetic world's: `infrared` sees by its
own lamp, `thermal` sees heat, black where it is warm, and is less sharp. No two
pictures show the same moment.
"""

import argparse
import csv
import dataclasses
from pathlib import Path

from PIL import Image

from ckda_jax.data import synthetic
from ckda_jax.data.synthetic.camera import Camera, follow, shoot
from ckda_jax.data.synthetic.people import Person
from ckda_jax.data.synthetic.sites import cameras
from ckda_jax.data.synthetic.streams import stream

SEED = 0
FRAMES = 3
"""Frames of a tracklet."""


@dataclasses.dataclass(frozen=True)
class Size:
    """How large a site is, and its pictures.

    Attributes:
        train: people to train on.
        test: other people, to test on.
        images: shots of a person in one modality.
        height: of a picture in pixels; it is half as wide.
    """

    train: int = 60
    test: int = 30
    images: int = 6
    height: int = 64


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    for field in dataclasses.fields(Size):
        parser.add_argument(f"--{field.name}", type=int, default=field.default)
    given = vars(parser.parse_args())
    out = given.pop("out")
    if out.exists() and any(out.iterdir()):
        parser.error(f"{out} is not empty; remove it or give another folder")
    size = Size(**given)
    print(f"{write_gate(out / 'gate', size)} pictures in {out / 'gate'}")
    print(f"{write_yard(out, size)} pictures in {out / 'yard.csv'}")


def write_gate(root: Path, size: Size) -> int:
    """Draw the folder ROOT/SPLIT/MODALITY/IDENTITY/CAMERA_SHOT.jpg; count images."""
    count = 0
    for name, person, split in people("gate", size):
        for modality, seen_by in equipment("sysu").items():
            folder = root / split / modality / name
            folder.mkdir(parents=True)
            for shot in range(size.images):
                camera = list(seen_by)[shot % len(seen_by)]
                path = folder / f"{camera}_{shot:02d}.jpg"
                take(path, person, seen_by[camera], size.height, (name, camera, shot))
                count += 1
    return count


def write_yard(root: Path, size: Size) -> int:
    """Draw the table ROOT/yard.csv and its images; count them."""
    rows = []
    for name, person, split in people("yard", size):
        for modality, seen_by in equipment("vcm").items():
            if modality == "infrared":
                continue
            folder = Path("yard-images", name)
            (root / folder).mkdir(parents=True, exist_ok=True)
            for tracklet in range(size.images // 2):
                camera = list(seen_by)[tracklet % len(seen_by)]
                shot = (name, camera, tracklet)
                for frame in range(FRAMES):
                    path = folder / f"{modality}-{camera}-{tracklet}-{frame}.jpg"
                    take(root / path, person, seen_by[camera], size.height, shot, frame)
                    rows.append((path, name, modality, split, camera, tracklet, frame))
    with (root / "yard.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow("path identity modality split camera tracklet frame".split())
        writer.writerows(rows)
    return len(rows)


def people(site: str, size: Size) -> list[tuple[str, Person, str]]:
    """List who is seen at a site: name, person and split."""
    numbers = range(size.train + size.test)
    drawn = synthetic.population(SEED, numbers, domain=site)
    return [
        (f"{site}-{n}", person, "train" if n < size.train else "test")
        for n, person in enumerate(drawn)
    ]


def equipment(site: str) -> dict[str, dict[str, Camera]]:
    """List two cameras of each modality, as a site of the synthetic world has them."""
    table = cameras(site, SEED)
    heat = cameras("regdb", SEED)[True, 1]
    found: dict[str, dict[str, Camera]] = {"visible": {}, "infrared": {}, "thermal": {}}
    for (infrared, number), camera in table.items():
        if infrared and len(found["infrared"]) < 2:
            near = dataclasses.replace(camera, polarity="near")
            thermal = dataclasses.replace(
                camera, polarity="hot black", contrast=heat.contrast, blur=heat.blur
            )
            found["infrared"][f"n{number}"] = near
            found["thermal"][f"t{number}"] = thermal
        elif not infrared and len(found["visible"]) < 2:
            found["visible"][f"v{number}"] = camera
    return found


def take(
    path: Path,
    person: Person,
    camera: Camera,
    height: int,
    where: tuple[str, str, int],
    frame: int = 0,
) -> None:
    """Draw one picture.

    Args:
        path: to write.
        person: who is seen.
        camera: what it is seen with.
        height: of the picture in pixels.
        where: person, camera and number of the shot, which decide chance.
        frame: how many frames into the shot.
    """
    shot = shoot(camera, stream(SEED, "shot", *where))
    if frame:
        shot = follow(shot, stream(SEED, "frame", *where, frame), frame)
    size = (height, height // 2)
    pixels = synthetic.render(person, shot, camera, seed=SEED, size=size)
    Image.fromarray(pixels).save(path, quality=shot.quality)


if __name__ == "__main__":
    main()
