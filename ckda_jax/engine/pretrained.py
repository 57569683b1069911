"""Files of weights: where they come from, how they are read, and written."""

import hashlib
import importlib.resources
import json
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ckda_jax.models import weights
from ckda_jax.structs import InputError, Tree

SUFFIXES = (".safetensors", ".npz", ".pth")
HUB_FILE = "model.safetensors"
HUB_FORM = "hub:OWNER/NAME@COMMIT"


def load_backbone(
    spec: str,
    template: Tree,
    *,
    grid: tuple[int, int],
    allow_missing: str = "",
    allow_extra: str = "",
) -> Tree:
    """Fill a model's variables from pretrained weights.

    A vision transformer (timm's names, or a backbone of this project) fills the
    backbone alone; a checkpoint of the released CKDA code fills the whole model.

    Args:
        spec: a path ending in .safetensors, .npz or .pth; `asset:NAME`, shipped with
            the package; or `hub:OWNER/NAME@COMMIT`, downloaded.
        template: variables of the model; gives shapes, types and what the file lacks.
        grid: rows and columns of the model's patches.
        allow_missing: regex of entries that may be missing or misshapen.
        allow_extra: regex of entries of the file to ignore.

    Returns:
        Variables like the template.

    Raises:
        InputError: the file cannot be read or does not fit the model.
    """
    path = locate(spec)
    state = read_arrays(path)
    allowed = {"allow_missing": allow_missing, "allow_extra": allow_extra}
    try:
        if any(name.startswith("base.") for name in state):
            return weights.import_reference(state, template, **allowed)[0]
        return weights.import_backbone(state, template, grid=grid, **allowed)
    except InputError as error:
        raise InputError(f"{spec}: {error}") from None


def locate(spec: str) -> Path:
    """Find the file that a spec names, downloading it if it is on the hub.

    Raises:
        InputError: no such file, a damaged asset, or nothing to download with.
    """
    scheme, _, rest = spec.partition(":")
    if scheme == "asset":
        return _asset(rest)
    if scheme == "hub":
        return _download(spec, rest)
    path = Path(spec).expanduser()
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{spec}: weights are read from {', '.join(SUFFIXES)} files, from "
            f"asset:NAME or from {HUB_FORM}; give one of these"
        )
    if not path.is_file():
        raise InputError(f"{spec}: there is no such file; check config.init.weights")
    return path


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read a file of named arrays; nothing in it is ever executed.

    Raises:
        InputError: the file is damaged, or of a kind that cannot be read here.
    """
    readers = {".safetensors": _read_safetensors, ".npz": read_npz, ".pth": _read_pth}
    state = readers[path.suffix](path)
    if not state:
        raise InputError(f"{path}: holds no arrays; export the weights again")
    return {name.removeprefix("module."): value for name, value in state.items()}


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Write named arrays to an .npz, whole or not at all.

    Returns:
        The file's SHA-256 digest in hexadecimal.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as file:
            # NumPy's keywords are arrays, whatever its signature also has.
            np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return digest(path)


def digest(path: Path) -> str:
    """Return a file's SHA-256 digest in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _asset(name: str) -> Path:
    """Find a file shipped with the package and check it against its sidecar."""
    folder = Path(str(importlib.resources.files("ckda_jax") / "assets"))
    path = folder / f"{name.removesuffix('.npz')}.npz"
    if not path.is_file():
        names = sorted(p.stem for p in folder.glob("*.npz")) or ["none"]
        raise InputError(
            f"asset:{name}: the package ships no such weights; there are: "
            f"{', '.join(names)}"
        )
    try:
        stated = json.loads(path.with_suffix(".json").read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"asset:{name}: {path.with_suffix('.json')} does not state the file's "
            "sha256; install the package again"
        ) from None
    if stated != digest(path):
        raise InputError(
            f"asset:{name}: {path} differs from the digest in its sidecar; install the "
            "package again"
        )
    return path


def _download(spec: str, rest: str) -> Path:
    """Fetch a repository's safetensors file at a pinned commit."""
    repository, _, revision = rest.partition("@")
    if not repository or not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise InputError(
            f"{spec}: a download needs a pinned revision, not a branch; write "
            f"{HUB_FORM} with the 40 hexadecimal digits of a commit"
        )
    elsewhere = (
        f"fetch {HUB_FILE} of {repository} where there is a network and give its path"
    )
    try:
        from huggingface_hub import (  # pyright: ignore[reportMissingImports]
            hf_hub_download,
        )
    except ImportError:
        raise InputError(
            f"{spec}: the package huggingface_hub is not installed; pip install it, or "
            f"{elsewhere}"
        ) from None
    try:
        return Path(hf_hub_download(repository, HUB_FILE, revision=revision))
    # The hub's errors derive from OSError or ValueError, whichever its HTTP client.
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"{spec}: the download failed ({reason}); {elsewhere}"
        ) from None


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from None
    except AttributeError as error:
        # How NumPy answers for the types that it lacks, of 8 bits and fewer.
        raise InputError(
            f"{path}: holds numbers of a type that NumPy lacks ({error}); export the "
            "weights in float32"
        ) from None


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz; never anything pickled.

    Raises:
        InputError: the file is damaged or holds objects.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    # A plain .npy under this name is an array, which is no context.
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from None


def _read_pth(path: Path) -> dict[str, np.ndarray]:
    """Read a PyTorch file, by torch itself and only in its restricted mode."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        npz = path.with_suffix(".npz").name
        raise InputError(
            f"{path}: a .pth file is read by torch, which is not installed; where it "
            "is, these two lines make an .npz to give instead:\n"
            "  import numpy, torch; "
            f'state = torch.load("{path.name}", weights_only=True)\n'
            f'  numpy.savez("{npz}", **{{k: v.numpy() for k, v in state.items()}})'
        ) from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise _damaged(path, error) from None
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict):
        raise InputError(f"{path}: holds no state dictionary; save model.state_dict()")
    tensors = {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}
    return {name: _to_numpy(tensor) for name, tensor in tensors.items()}


def _to_numpy(tensor: Any) -> np.ndarray:
    """Convert a torch tensor; NumPy has no bfloat16, so that widens to float32."""
    wide = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
    return wide.detach().numpy()


def _damaged(path: Path, error: Exception) -> InputError:
    reason = str(error).strip().partition("\n")[0]
    return InputError(f"{path}: cannot be read ({reason}); copy or export it again")
