"""The house style, where a reader of the code would have to check it by eye."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for folder in ("ckda_jax", "benchmarks", "configs", "examples")
    for path in (ROOT / folder).rglob("*.py")
)
LONGEST_FILE = 350
LONGEST_FUNCTION = 60
EXCUSE = "# Long because"
FORBIDDEN_CALLS = {
    "PRNGKey": "keys are typed: jax.random.key",
    "NotImplementedError": "finish it or leave it out",
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def where(path: Path, node: ast.AST) -> str:
    """Write `file:line` of a node."""
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def faults(path: Path) -> Iterator[str]:
    """Yield everything in a file that the house style forbids."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    checks = (file_faults(path, text, tree), undocumented(path, tree))
    for check in checks:
        yield from check
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield from function_faults(path, node, text)
        if isinstance(node, ast.ImportFrom):
            yield from import_faults(path, node)
        if isinstance(node, ast.Call):
            yield from call_faults(path, node)


def file_faults(path: Path, text: str, tree: ast.Module) -> Iterator[str]:
    """Yield faults of the file as a whole."""
    lines = text.count("\n")
    if path.stem == "utils":
        yield f"{where(path, tree)}: a file is one noun, and utils is none"
    if lines > LONGEST_FILE and EXCUSE not in text:
        yield f"{where(path, tree)}: {lines} lines; cut it or say `{EXCUSE} ...`"
    if "TODO" in text or "FIXME" in text:
        yield f"{where(path, tree)}: finish it or open an issue"


def undocumented(path: Path, tree: ast.Module) -> Iterator[str]:
    """Yield public definitions without a docstring, the file itself included."""
    if not ast.get_docstring(tree) and path.read_text(encoding="utf-8").strip():
        yield f"{where(path, tree)}: the file has no docstring"
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if not node.name.startswith("_") and not ast.get_docstring(node):
            yield f"{where(path, node)}: {node.name} has no docstring"


def function_faults(path: Path, node: Function, text: str) -> Iterator[str]:
    """Yield faults of a function's length, docstring aside, and of its parameters."""
    last = node.end_lineno or node.lineno
    body = "\n".join(text.splitlines()[node.lineno - 1 : last])
    is_config = path.parent.name == "configs"
    length = last - node.lineno + 1 - len((ast.get_docstring(node) or "").splitlines())
    if length > LONGEST_FUNCTION and not is_config and EXCUSE not in body:
        yield f"{where(path, node)}: {node.name} has {length} lines"
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    in_data = "data" in path.relative_to(ROOT).parts
    for argument in named:
        if argument.arg in {"rng", "rngs"} and not in_data:
            yield f"{where(path, argument)}: {node.name}: the word is key, not rng"
        if argument.arg == "key" and in_data and _is_random(argument):
            yield f"{where(path, argument)}: {node.name}: NumPy's word is rng"


def _is_random(argument: ast.arg) -> bool:
    return "Generator" in ast.dump(argument.annotation or ast.Constant(None))


def import_faults(path: Path, node: ast.ImportFrom) -> Iterator[str]:
    """Yield star imports and private names taken from another folder."""
    source = (node.module or "").split(".")
    here = path.relative_to(ROOT).parts
    own_folder = source[0] == "ckda_jax" and source[1:2] == list(here[1:2])
    for alias in node.names:
        if alias.name == "*":
            yield f"{where(path, node)}: star import"
        private = alias.name.startswith("_") and not alias.name.startswith("__")
        if private and source != ["__future__"] and not own_folder:
            yield f"{where(path, node)}: {alias.name} is private to {node.module}"


def call_faults(path: Path, node: ast.Call) -> Iterator[str]:
    """Yield calls that unpickle what a stranger wrote, and others not wanted here."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    name = node.func.id if isinstance(node.func, ast.Name) else name
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    if isinstance(owner, ast.Name) and owner.id in {"pickle", "dill"}:
        yield f"{where(path, node)}: {owner.id} runs whatever a file says"
    for keyword in node.keywords:
        true = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
        if keyword.arg == "allow_pickle" and true:
            yield f"{where(path, node)}: allow_pickle=True"
        if keyword.arg == "weights_only" and not true:
            yield f"{where(path, node)}: weights_only must be True"
    if name in FORBIDDEN_CALLS:
        yield f"{where(path, node)}: {name}: {FORBIDDEN_CALLS[name]}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_keeps_the_house_style(path):
    found = list(faults(path))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('"""Doc."""\nfrom numpy import *\n', "star import"),
        ('"""Doc."""\nfrom ckda_jax.models.vit import _f\n', "private"),
        ('"""Doc."""\nimport pickle\npickle.load(open("f"))\n', "runs whatever"),
        ('"""Doc."""\nnp.load("f", allow_pickle=True)\n', "allow_pickle"),
        ('"""Doc."""\ntorch.load("f", weights_only=False)\n', "weights_only"),
        ('"""Doc."""\ndef f(rng):\n    """Doc."""\n', "not rng"),
        ('"""Doc."""\ndef f(x):\n    return x\n', "no docstring"),
        ("x = 1\n", "the file has no docstring"),
        ('"""Doc."""\nkey = jax.random.PRNGKey(0)\n', "typed"),
        ('"""Doc."""\ndef f():\n    """Doc."""\n' + "    a = 1\n" * 60, "61 lines"),
        ('"""Doc."""\n' + "a = 1\n" * 351, "352 lines"),
        ('"""Doc."""\nclass A:\n    """Doc."""\n', None),
    ],
)
def test_faults_finds_each_fault(tmp_path, monkeypatch, source, said):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "ckda_jax" / "losses" / "metric.py"
    path.parent.mkdir(parents=True)
    path.write_text(source)
    found = list(faults(path))
    if said is None:
        assert found == []
    else:
        assert any(said in line for line in found), found
