"""An image file: read, made 8-bit RGB, and brought to size by a named chain."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.Image import Resampling

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

DIRECT_MODES = ("RGB", "L", "1", "P", "PA", "LA", "RGBA")
"""Pillow modes whose conversion to three 8-bit channels leaves nothing to interpret."""

SMALLEST_SIDE = 4
"""Images with a shorter side in pixels show nobody and are refused before training."""

LARGEST_PIXELS = 64 * 1024 * 1024
"""Images of more pixels than this are refused before they are decoded."""

_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
_REMEDY = "replace the file or take it out of the dataset"


def read_image(
    path: str | Path, size: tuple[int, int], chain: str = "lanczos"
) -> UInt8[np.ndarray, "h w 3"]:
    """Read an image as RGB and bring it to `size` (height, width in pixels).

    Grey, palette and CMYK images are converted, an alpha channel is dropped, 16-bit
    grey is scaled linearly to 8 bits, and an EXIF orientation is applied.

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
    records: Records,
    *,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Decode every image of a table and refuse those that training could not use.

    Nothing less finds damage in the middle of a file; it takes about a millisecond an
    image and core. Stricter than `read_image`: CMYK and 16-bit images are refused too,
    since their conversion needs a choice (a print profile; the radiometric range) that
    only who made the dataset can take.

    Args:
        records: the table.
        threads: threads that decode.
        progress: called with the numbers of images decoded and of all.

    Raises:
        InputError: naming the first three such images and their number.
    """
    problems = []
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(_problem, records.paths.tolist())
        for done, problem in enumerate(found, start=1):
            problems += [] if problem is None else [problem]
            if progress is not None:
                progress(done, len(records))
    if problems:
        rest = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise InputError(
            f"{len(problems)} of {len(records)} images cannot be used: "
            f"{'; '.join(problems[:3])}{rest}"
        )


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
    return image.convert("RGB")


def _problem(path: str) -> str | None:
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
