"""An image file: read, made 8-bit RGB, and brought to size by a named chain."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.Image import Resampling

from ckda_jax.data import prepared
from ckda_jax.structs import InputError, Records

Step = tuple[float, Resampling]

CHAINS: dict[str, tuple[Step, ...]] = {
    "lanczos": ((1.0, Resampling.LANCZOS),),
    "bilinear": ((1.0, Resampling.BILINEAR),),
    "regdb": ((1.125, Resampling.LANCZOS), (1.0, Resampling.BILINEAR)),
    "vcm": (
        (1.0, Resampling.LANCZOS),
        (1.125, Resampling.LANCZOS),
        (1.0, Resampling.BILINEAR),
    ),
}
"""Ways to bring an image to size: steps of (multiple of the final size, filter)."""

FEATURE_CHAIN = "lanczos"
"""Resize chain of training images whose features are taken at a stage's end."""

DIRECT_MODES = ("RGB", "L", "1", "P", "PA", "LA", "RGBA")
"""Pillow modes whose conversion to three 8-bit channels leaves nothing to interpret."""

SMALLEST_SIDE = 4
"""Images with a shorter side in pixels show nobody and are refused before training."""

LARGEST_PIXELS = 64 * 1024 * 1024
"""Images of more pixels than this are refused before they are decoded."""

MOST_REPLACED = 0.01
"""Share of the images of a dataset that others may take the place of, if any may."""

_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
_REMEDY = "replace the file or take it out of the dataset"


def read_image(
    path: str | Path,
    size: tuple[int, int],
    chain: str = "lanczos",
    *,
    strict: bool = False,
) -> UInt8[np.ndarray, "h w 3"]:
    """Read an image as RGB and bring it to `size` (height, width in pixels).

    Grey, palette and CMYK images are converted, an alpha channel is dropped, 16-bit
    grey is scaled linearly to 8 bits, and an EXIF orientation is applied.

    Args:
        path: of the file.
        size: height and width wanted.
        chain: name in `CHAINS`.
        strict: also refuse what `find_unusable` finds.

    Raises:
        InputError: a file that is missing, empty, truncated, corrupt, too large or not
            an image; or an unknown chain.
    """
    if chain not in CHAINS:
        raise InputError(
            f"resize chain {chain!r} is unknown; choose one of {sorted(CHAINS)}"
        )
    with _named_errors(path), Image.open(path) as image:
        _refuse_size(path, image.size)
        if strict:
            _refuse_content(path, image)
        rgb = _to_rgb(path, image)
    return np.asarray(resize(rgb, size, chain), dtype=np.uint8)


def resize(image: Image.Image, size: tuple[int, int], chain: str) -> Image.Image:
    """Run a resize chain on a Pillow image; a step to the size it has is left out.

    >>> resize(Image.new("RGB", (30, 60)), (256, 128), "regdb").size
    (128, 256)
    """
    for multiple, resample in CHAINS[chain]:
        height, width = (round(side * multiple) for side in size)
        if image.size != (width, height):
            image = image.resize((width, height), resample)
    return image


def check_images(
    table: Records,
    *,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Refuse a table with images that training could not use.

    Arguments as of `find_unusable`.

    Raises:
        InputError: naming the first three such images and their number.
    """
    refuse_unusable(
        find_unusable(table, threads=threads, progress=progress), len(table)
    )


def find_unusable(
    table: Records,
    *,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Decode every image of a table and find those that training could not use.

    Nothing less finds damage in the middle of a file; it takes about a millisecond an
    image and core. Stricter than `read_image`: CMYK and 16-bit images are found too,
    since their conversion needs a choice (a print profile; the radiometric range) that
    only who made the dataset can take. Prepared images were decoded before; what was
    found then is found again.

    Args:
        table: of images.
        threads: threads that decode.
        progress: called with the numbers of images decoded and of all.

    Returns:
        What is wrong, in a line that names the image, by path.
    """
    paths = table.paths.tolist()
    roots = prepared.group(paths)
    problems = {}
    with ThreadPoolExecutor(threads) as pool:
        found = zip(paths, pool.map(_problem, paths, roots), strict=True)
        for done, (path, problem) in enumerate(found, start=1):
            problems |= {} if problem is None else {path: problem}
            if progress is not None:
                progress(done, len(paths))
    return problems


def refuse_unusable(problems: Mapping[str, str], total: int, note: str = "") -> None:
    """Refuse images with problems, if there are any.

    Args:
        problems: what is wrong with an image, by path.
        total: images that were looked at.
        note: more to say at the end.

    Raises:
        InputError: naming the first three of them and their number.
    """
    if problems:
        raise InputError(
            f"{len(problems)} of {total} images cannot be used: "
            f"{name_problems(problems)}{note}"
        )


def allow_few(problems: Mapping[str, str], total: int, option: str) -> None:
    """Refuse images with problems if there are more than others may stand in for.

    Args:
        problems: what is wrong with an image, by path.
        total: images that were looked at.
        option: what allows a few.

    Raises:
        InputError: they are more than `MOST_REPLACED` of all.
    """
    if len(problems) > MOST_REPLACED * total:
        most = f"; {option} puts up with {MOST_REPLACED:.0%}"
        refuse_unusable(problems, total, most)


def name_problems(problems: Mapping[str, str]) -> str:
    """Name the first three of some problems and count the others."""
    rest = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return "; ".join(list(problems.values())[:3]) + rest


def _to_rgb(path: str | Path, image: Image.Image) -> Image.Image:
    """Decode an image, upright and as RGB."""
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in _SIXTEEN_BIT_MODES:
        values = np.asarray(image).astype(np.uint32)
        eight_bit = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
        return eight_bit.convert("RGB")
    if image.mode in ("I", "F"):
        raise InputError(
            f"{path}: pixels of 32 bits (mode {image.mode}) have no agreed range; "
            "save the image with 8 bits per channel"
        )
    if image.mode in ("P", "PA"):
        # A palette whose transparency is a byte string warns unless it passes by RGBA.
        image = image.convert("RGBA")
    # Pillow copies what is RGB already: a twentieth of the time of a JPEG.
    return image if image.mode == "RGB" else image.convert("RGB")


def _problem(path: str, root: prepared.Prepared | None) -> str | None:
    if root is not None:
        return root.problem(path)
    try:
        with _named_errors(path), Image.open(path) as image:
            _refuse_size(path, image.size)
            _refuse_content(path, image)
            _to_rgb(path, image)
    except InputError as error:
        return str(error)
    return None


def _refuse_size(path: str | Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > LARGEST_PIXELS:
        raise InputError(
            f"{path}: {width}x{height} is larger than {LARGEST_PIXELS} pixels; crop it"
        )


def _refuse_content(path: str | Path, image: Image.Image) -> None:
    width, height = image.size
    if min(width, height) < SMALLEST_SIDE:
        raise InputError(
            f"{path}: {width}x{height} pixels can show nobody "
            f"(a side needs {SMALLEST_SIDE}); {_REMEDY}"
        )
    if image.mode not in DIRECT_MODES:
        raise InputError(
            f"{path}: mode {image.mode} is not 8-bit RGB, grey or palette; "
            "convert the file"
        )


@contextlib.contextmanager
def _named_errors(path: str | Path) -> Iterator[None]:
    """Turn whatever Pillow raises into one line that names the file."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {_REMEDY}") from None
    except UnidentifiedImageError:
        empty = Path(path).stat().st_size == 0
        cause = "the file is empty" if empty else "not an image that Pillow can read"
        raise InputError(f"{path}: {cause}; {_REMEDY}") from None
    except Exception as error:
        # Pillow's decoders raise OSError, SyntaxError, struct.error and others; what
        # the system says of a file (a folder, no permission) would repeat its name.
        said = error.strerror if isinstance(error, OSError) else None
        cause = " ".join((said or str(error)).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be decoded ({cause}); {_REMEDY}") from None
