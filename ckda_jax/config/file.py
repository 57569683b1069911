"""A configuration file: run, its preset applied, locked."""

import contextlib
import functools
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ckda_jax.config.spelling import nearest
from ckda_jax.structs import InputError

DEFAULT_PRESET = "ckda"


def load(source: str) -> ConfigDict:
    """Run the configuration file of `FILE[:PRESET]` and apply the preset (`ckda`).

    The presets are the table `PRESETS` of the file, else of the `common` module it
    imports; a file refuses a preset by a shorter table of its own.

    Raises:
        InputError: see `resolve`.
    """
    path, preset = split(source)
    with _importable(path.parent):
        module = _run_file(path)
        config = _call(path, getattr(module, "get_config", None))
        presets = _presets(module)
        name = preset or (DEFAULT_PRESET if DEFAULT_PRESET in presets else "")
        if name and name not in presets:
            valid = ", ".join(presets) or "none"
            raise InputError(
                f"{source}: no preset {name!r}{nearest(name, presets)}; valid: {valid}"
            )
        config.lock()
        if name:
            config = _call(path, functools.partial(presets[name], config))
    with config.unlocked():
        config.preset = name
    return config


def split(source: str) -> tuple[Path, str]:
    """Separate file and preset; refuse a file that is not there, naming the nearest."""
    head, colon, tail = source.rpartition(":")
    path, preset = (Path(head), tail) if colon else (Path(source), "")
    if Path(source).is_file():
        path, preset = Path(source), ""
    if path.is_file():
        return path, preset
    if path.is_dir():
        cause, folder = "is a folder", path
    else:
        cause, folder = "no such file", path.parent
    there = sorted(str(file) for file in folder.glob("*.py"))
    remedy = f"; here are {', '.join(there)}" if there else "; give the path of a file"
    raise InputError(f"--config {path}: {cause}{nearest(str(path), there)}{remedy}")


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let the files of a folder import each other, freshly, and only in this block."""
    names = {file.stem for file in folder.glob("*.py")}
    hidden = {name: sys.modules.pop(name) for name in names & sys.modules.keys()}
    no_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(folder.resolve()))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))
        sys.dont_write_bytecode = no_bytecode
        for name in names & sys.modules.keys():
            del sys.modules[name]
        sys.modules.update(hidden)


def _run_file(path: Path) -> types.ModuleType:
    """Execute a configuration file as a module of its own."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(
            f"--config {path}: not a Python file; its name must end in .py"
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    _call(path, functools.partial(spec.loader.exec_module, module), returns=None)
    return module


def _call(path: Path, function: Any, returns: type | None = ConfigDict) -> Any:
    """Call a function of a configuration file, errors told by their file and line."""
    if not callable(function):
        raise InputError(
            f"--config {path}: defines no get_config(); configs/common.py shows one"
        )
    try:
        value = function()
    except InputError:
        raise
    except Exception as error:
        cause = " ".join(str(error).split())
        raise InputError(
            f"--config {_place(path, error)}: {type(error).__name__}: {cause}"
        ) from error
    if returns is not None and not isinstance(value, returns):
        raise InputError(
            f"--config {path}: returned {type(value).__name__}, must be a ConfigDict"
        )
    return value


def _place(path: Path, error: BaseException) -> str:
    """Write `file:line` of the last line in the configuration's folder that ran."""
    if isinstance(error, SyntaxError):
        return f"{error.filename or path}:{error.lineno}"
    place, trace = str(path), error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.parent.resolve() == path.parent.resolve():
            place = f"{path.with_name(file.name)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _presets(module: types.ModuleType) -> dict[str, Callable[[ConfigDict], ConfigDict]]:
    """Find the presets a file allows: its own table, else that of `common`."""
    own = getattr(module, "PRESETS", None)
    return getattr(sys.modules.get("common"), "PRESETS", {}) if own is None else own
