"""The list of keys that `--help` prints, comments read off `common.py`."""

import ast
import io
import tokenize

from ckda_jax.config.file import load, split
from ckda_jax.config.overrides import PREFIX
from ckda_jax.config.tree import flatten, show


def describe(source: str) -> str:
    """List every key of a configuration with its value and its comment, for `--help`.

    Args:
        source: `FILE[:PRESET]`.

    Returns:
        Lines of text, a group of keys after another, in the order of `common.py`.

    Raises:
        InputError: see `load`.
    """
    values = flatten(load(source))
    path, _ = split(source)
    comments: dict[str, str] = {}
    for file in (path.with_name("common.py"), path):
        if file.is_file():
            own = _comments(file.read_text(encoding="utf-8"))
            comments |= {key: own[key] for key in own if key not in comments}
    order = [key for key in comments if key in values]
    order += [key for key in values if key not in comments and key != "preset"]
    lines = [f"keys and values of {source}; change one with {PREFIX}KEY=VALUE:"]
    group = ""
    for key in order:
        if key.rpartition(".")[0] != group:
            group = key.rpartition(".")[0]
            lines.append("")
        line = f"  {key}={show(values[key])}"
        lines.append(f"{line:<42}  {comments.get(key, '')}".rstrip())
    return "\n".join(lines)


def _comments(source: str) -> dict[str, str]:
    """Read the comment of every key that a file sets, in the order of its lines."""
    notes = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    prefixes = {"config": ""}
    comments: dict[str, str] = {}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Assign):
            continue
        paths = [_dotted(target, prefixes) for target in node.targets]
        path = next((path for path in paths if path), "")
        for target in node.targets:
            if isinstance(target, ast.Name) and path:
                prefixes[target.id] = f"{path}."
        lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        comment = " ".join(notes[line] for line in lines if line in notes)
        if path and not comments.get(path):
            comments[path] = comment
    return comments


def _dotted(target: ast.expr, prefixes: dict[str, str]) -> str:
    """Write an attribute as a dotted key, `""` for anything that is none."""
    names: list[str] = []
    while isinstance(target, ast.Attribute):
        names.append(target.attr)
        target = target.value
    if not names or not isinstance(target, ast.Name) or target.id not in prefixes:
        return ""
    return prefixes[target.id] + ".".join(reversed(names))
