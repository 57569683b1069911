"""Tiny folders in the on-disk layouts of the four datasets, their images empty."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

MODALITY_FOLDERS = {"Visible": "v", "Thermal": "t"}
MODALITIES = ("visible", "infrared", "thermal")


def touch(path: Path) -> None:
    """Create an empty file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def write_lines(path: Path, lines: list[str], *, end: str = "\n") -> None:
    """Write a text file with the given line ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())


def edit_line(path: Path, number: int, text: str) -> None:
    """Replace a line, counted from 1."""
    lines = path.read_text().splitlines()
    lines[number - 1] = text
    write_lines(path, lines)


def write_regdb(root: Path, *, trial: int = 1) -> Path:
    """Write RegDB: train ids 9, 2, 30 and test ids 4, 11; three images each."""
    for split, identities in (("train", (9, 2, 30)), ("test", (4, 11))):
        for folder, letter in MODALITY_FOLDERS.items():
            lines = []
            for label, identity in enumerate(identities):
                for frame in (5, 7, 10):
                    name = f"male_back_{letter}_{frame:05d}_{identity}.bmp"
                    touch(root / folder / str(identity) / name)
                    lines.append(f"{folder}/{identity}/{name} {label}")
            name = f"{split}_{folder.lower()}_{trial}.txt"
            write_lines(root / "idx" / name, lines, end="\r\n")
    return root


def write_sysu(root: Path) -> Path:
    """Write SYSU-MM01: train ids 1, 2, val id 334, test ids 6, 10; unlisted id 9.

    Identity 334 lacks cameras 1, 2 and 6, identity 10 lacks cameras 1, 2 and 3.
    """
    for split, text in (("train", "1,2"), ("val", "334"), ("test", "6,10")):
        write_lines(root / "exp" / f"{split}_id.txt", [text])
    cameras = {1: range(1, 7), 2: range(1, 7), 6: range(1, 7)}
    cameras |= {334: (3, 4, 5), 10: (4, 5, 6), 9: (4, 5)}
    for identity, filmed in cameras.items():
        for camera in filmed:
            for frame in (1, 2, 3):
                touch(root / f"cam{camera}" / f"{identity:04d}" / f"{frame:04d}.jpg")
    return root


def write_llcm(root: Path) -> Path:
    """Write LLCM: train ids 250, 1, 4, test ids 891, 0; two images per camera."""
    splits = {"train": ("0250", "0001", "0004"), "test": ("0891", "0000")}
    for split, identities in splits.items():
        for folder, cameras in (("vis", (3, 9)), ("nir", (6,))):
            lines = []
            for label, identity in enumerate(identities):
                for camera in cameras:
                    for frame in (30, 150):
                        stem = f"{identity}_c{camera:02d}_s200519_f{frame}_{folder}"
                        touch(root / folder / identity / f"{stem}.jpg")
                        lines.append(f"{folder}/{identity}/{stem}.jpg {label}")
            write_lines(root / "idx" / f"{split}_{folder}.txt", lines)
    return root


def write_vcm(root: Path) -> Path:
    """Write HITSZ-VCM: train ids 1, 3, test ids 503, 504; tracklets of 24 and 5 frames.

    Cameras 1 and 2 film visible, 3 and 4 infrared; a last name belongs to no tracklet.
    """
    for split, identities in (("train", (1, 3)), ("test", (503, 504))):
        names, tracks, queries = [], [], []
        for identity, camera, tracklet in itertools.product(
            identities, (1, 2, 3, 4), (1, 2)
        ):
            modality, length = (2 if camera < 3 else 1), {1: 24, 2: 5}[tracklet]
            first = len(names) + 1
            stem = f"{identity:04d}M{modality}D{camera}T{tracklet}"
            folder = root / split.capitalize() / f"{identity:04d}"
            folder = folder / {1: "ir", 2: "rgb"}[modality] / f"D{camera}"
            for frame in range(100 * tracklet, 100 * tracklet + 5 * length, 5):
                names.append(f"{stem}F{frame}.jpg")
                touch(folder / f"{frame}.jpg")
            tracks.append(f"{modality} {first} {len(names)} {identity:04d} {camera}")
            queries += [str(len(tracks))] * (modality == 1)
        write_lines(root / "info" / f"{split}_name.txt", [*names, names[-1]])
        write_lines(root / "info" / f"track_{split}_info.txt", tracks)
        if split == "test":
            write_lines(root / "info" / "query_IDX.txt", [" ".join(queries)], end="")
    return root


def write_own(root: Path, modalities: Iterable[str] = MODALITIES) -> Path:
    """Write a folder of one's own: train ids 2, 10, test ids Ann, Zoë; two cameras."""
    splits = {"train": ("2", "10"), "test": ("Ann", "Zoë")}
    for split, modality in itertools.product(splits, modalities):
        for identity, camera in itertools.product(splits[split], ("c1", "c2")):
            touch(root / split / modality / identity / f"{camera}_0.jpg")
    return root


def paint(root: Path) -> Path:
    """Give every image file a picture of its own, in the format of its suffix."""
    paths = [p for p in sorted(root.rglob("*")) if p.suffix in (".jpg", ".bmp")]
    for number, path in enumerate(paths):
        rng = np.random.default_rng(number)
        pixels = rng.integers(0, 256, (12, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return root


WRITERS = {
    "regdb": write_regdb,
    "sysu": write_sysu,
    "llcm": write_llcm,
    "vcm": write_vcm,
}
"""The writer of each dataset of the catalog."""
