"""The house plan: who may import whom, and which test belongs to which file."""

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "ckda_jax"
LAYERS = {
    0: {"structs", "files", "keys", "trees"},
    1: {"losses", "models", "data", "retrieval"},
    2: {"methods"},
    3: {"config", "engine", "reporting"},
    4: {"build", "check", "engine.lifelong", "workdir"},
    5: {
        *{"train", "eval", "embed", "search", "pretrain", "cost", "compare"},
        "parity",
        *{"data.__main__", "data.synthesis", "data.description", "data.checkup"},
    },
}
BARE = {"jax", "flax", "optax", "chex", "jaxtyping", "numpy"}
BARE_FILES = ("losses.", "models.", "methods.", "engine.step")
JAX = {"jax", "jaxlib", "flax", "optax", "chex", "orbax"}
HOUSE_TESTS = {
    "layers",
    "style",
    "configs",
    "readme",
    "launch",
    "contract",
    "benchmarks",
}


def modules() -> dict[str, Path]:
    """List the package's modules by dotted name below it: `losses.metric`."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def layer(module: str) -> int:
    """Look up the layer of a module by the longest name listed."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        for number, names in LAYERS.items():
            if name in names:
                return number
    raise AssertionError(f"{module}: belongs to no layer; add it to LAYERS")


def imports(path: Path, module: str) -> Iterator[tuple[int, str]]:
    """Yield line and full dotted name of every import, also inside functions."""
    is_package = path.name == "__init__.py"
    package = [PACKAGE, *module.split(".")] if module else [PACKAGE]
    package = package if is_package else package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            parts = [*base, *(node.module or "").split(".")]
            source = ".".join(part for part in parts if part)
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _name(node.func) in {
            "import_module",
            "__import__",
        }:
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant):
                    yield node.lineno, str(argument.value)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def owned(name: str) -> str | None:
    """Name the package's module that an import reaches, `None` for anybody else's."""
    if name.split(".")[0] != PACKAGE:
        return None
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in modules():
        parts.pop()
    return ".".join(parts)


def fault(importer: str, imported: str) -> str | None:
    """Say what is wrong with one import inside the package, `None` if nothing is."""
    if not imported or importer == imported:
        return None
    low, high = layer(imported), layer(importer)
    if low < high:
        return None
    same_folder = importer.split(".")[0] == imported.split(".")[0]
    base = low == high and low in (0, 4) and "." not in importer + imported
    if low == high and (same_folder or base):
        return None
    return f"layer {high} must not import {imported} of layer {low}"


@pytest.mark.parametrize("module", [name for name in modules() if name])
def test_imports_strictly_lower_layers_or_its_own_folder(module):
    path = modules()[module]
    faults = []
    for line, name in imports(path, module):
        reached = owned(name)
        if reached is not None and (wrong := fault(module, reached)):
            faults.append(f"{path.relative_to(ROOT)}:{line}: {wrong}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("module", [name for name in modules() if name])
def test_imports_of_other_packages(module):
    path = modules()[module]
    faults = []
    for line, name in imports(path, module):
        top = name.split(".")[0]
        if top in sys.stdlib_module_names or top == PACKAGE:
            continue
        if f"{module}.".startswith(BARE_FILES) and top not in BARE:
            faults.append(f"{path.relative_to(ROOT)}:{line}: {top} is not in {BARE}")
        if f"{module}.".startswith("data.") and top in JAX:
            faults.append(f"{path.relative_to(ROOT)}:{line}: data never uses {top}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("losses.metric", "structs", True),
        ("losses.metric", "losses.identity", True),
        ("losses.metric", "models.vit", False),
        ("data.pipeline", "retrieval.protocols", False),
        ("methods.ckda", "losses.metric", True),
        ("losses.metric", "methods.ckda", False),
        ("trees", "structs", True),
        ("engine.run", "reporting.writer", False),
        ("reporting.tables", "engine.run", False),
        ("reporting.tables", "methods.base", True),
        ("engine.step", "engine.lifelong", False),
        ("engine.lifelong", "engine.step", True),
        ("engine.lifelong", "build", False),
        ("workdir", "config", True),
        ("workdir", "config.tree", True),
        ("train", "build", True),
        ("train", "eval", False),
        ("parity.__main__", "parity.table", True),
        ("parity.table", "train", False),
    ],
)
def test_fault_knows_the_house_rules(importer, imported, allowed):
    assert (fault(importer, imported) is None) == allowed


def test_imports_sees_relative_lazy_and_dynamic_ones(tmp_path):
    path = tmp_path / "metric.py"
    path.write_text(
        "import jax.numpy as jnp\n"
        "from . import identity\n"
        "from ..models.vit import ViT\n"
        "def f():\n"
        "    from ckda_jax.data import pipeline\n"
        "    importlib.import_module('grain')\n"
    )
    assert [name for _, name in imports(path, "losses.metric")] == [
        "jax.numpy",
        "ckda_jax.losses.identity",
        "ckda_jax.models.vit.ViT",
        "ckda_jax.data.pipeline",
        "grain",
    ]


@pytest.mark.parametrize("module", modules())
def test_every_module_imports(module):
    name = f"{PACKAGE}.{module}".rstrip(".")
    assert importlib.import_module(name).__name__ == name


def mirror(path: Path) -> Path:
    """Name the test file of a source file, both relative to their roots."""
    stem = {"__main__": "main", "__init__": "init"}.get(path.stem, path.stem)
    return path.with_name(f"{stem}_test.py")


def test_every_file_has_its_test():
    missing = []
    for path in modules().values():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        relative = path.relative_to(ROOT / PACKAGE)
        has_code = any(
            isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree.body
        )
        if has_code and not (ROOT / "tests" / mirror(relative)).is_file():
            missing.append(f"tests/{mirror(relative)}")
    assert not missing, "\n".join(missing)


def test_every_test_has_its_file():
    sources = {
        mirror(path.relative_to(ROOT / PACKAGE)) for path in modules().values()
    } | {Path(f"{name}_test.py") for name in HOUSE_TESTS}
    stray = []
    for path in sorted((ROOT / "tests").rglob("*_test.py")):
        relative = path.relative_to(ROOT / "tests")
        if relative.parts[0] != "faults" and relative not in sources:
            stray.append(f"tests/{relative} mirrors no file of {PACKAGE}")
    assert not stray, "\n".join(stray)


def test_every_tests_folder_is_a_package():
    folders = {path.parent for path in (ROOT / "tests").rglob("*_test.py")}
    missing = [folder for folder in folders if not (folder / "__init__.py").is_file()]
    assert not missing
