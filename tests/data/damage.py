"""Image files with which something is wrong, of every kind there is a line for."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)

CAUSES = {
    "truncated": "cannot be decoded",
    "empty": "the file is empty",
    "html": "not an image that Pillow can read",
    "wrong extension": "is PNG by its content but JPEG by its name",
    "16-bit": "mode I;16 is not 8-bit RGB",
    "grey": "grey among",
    "cmyk": "mode CMYK is not 8-bit RGB",
    "1x1": "1x1 pixels can show nobody",
    "bomb": "exceeds limit of",
}
"""What is said of each kind."""


def damage(path: Path, kind: str) -> None:
    """Overwrite an image, named `.jpg` or `.bmp`, with one of some kind."""
    image = Image.fromarray(PIXELS)
    if kind == "truncated":
        image.save(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "html":
        path.write_text("<html><body>404 Not Found</body></html>")
    elif kind == "wrong extension":
        image.save(path, format="PNG")
    elif kind == "16-bit":
        Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257).save(path, format="PNG")
    elif kind == "grey":
        image.convert("L").save(path)
    elif kind == "cmyk":
        image.convert("CMYK").save(path, format="JPEG")
    elif kind == "1x1":
        image.crop((0, 0, 1, 1)).save(path)
    elif kind == "bomb":
        path.write_bytes(bomb())
    else:
        raise KeyError(kind)


def bomb(side: int = 20_000) -> bytes:
    """Write the head of a PNG that would unpack to 1.2 GB."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body))
        + name
        + body
        + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
