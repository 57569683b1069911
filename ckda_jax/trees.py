"""Pytrees whose leaves are spoken of by path: names and regex labels."""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ckda_jax.structs import Tree


def path_name(path: Sequence[Any]) -> str:
    """Write a key path as `backbone/blocks/attn/qkv/kernel`."""
    return jax.tree_util.keystr(tuple(path), simple=True, separator="/")


def named_leaves(tree: Tree) -> dict[str, Any]:
    """List the leaves of a tree by their path names, in tree order.

    >>> named_leaves({"a": {"b": 1}, "c": 2})
    {'a/b': 1, 'c': 2}
    """
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {path_name(path): leaf for path, leaf in flat}


def digest(tree: Tree) -> str:
    """Digest names, types, shapes and every bit of a tree's arrays, by SHA-256.

    The digest is the same on every machine; of typed keys it is that of their data.

    >>> digest({"a": np.zeros(2)}) == digest({"a": np.float64([0, -0.0])})
    False
    """
    found = hashlib.sha256()
    for name, leaf in sorted(named_leaves(tree).items()):
        kind: Any = getattr(leaf, "dtype", None)
        if jnp.issubdtype(kind, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        array = np.asarray(leaf)
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        found.update(f"\0{name} {array.dtype} {array.shape}\0".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def map_named(function: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """Map `function(name, leaf, *other leaves)` over a tree and trees of its shape."""
    return jax.tree_util.tree_map_with_path(
        lambda path, *leaves: function(path_name(path), *leaves), tree, *rest
    )


def matches(name: str, pattern: str) -> bool:
    """Whether a regex matches a whole path name."""
    return re.fullmatch(pattern, name) is not None


def label(tree: Tree, rules: Sequence[tuple[str, str]]) -> Tree:
    """Give every leaf the label of the first rule whose regex matches its whole name.

    Args:
        tree: any pytree.
        rules: ordered `(regex, label)` pairs.

    Returns:
        A tree of the same structure with a label at each leaf.

    Raises:
        ValueError: a leaf that no rule covers, by name.

    >>> label({"a": {"b": 1}, "c": 2}, [("a/.*", "slow"), (".*", "fast")])
    {'a': {'b': 'slow'}, 'c': 'fast'}
    """

    def first_match(name: str, _: Any) -> str:
        for pattern, value in rules:
            if matches(name, pattern):
                return value
        raise ValueError(f"no rule covers the leaf {name!r}; add one to {rules!r}")

    return map_named(first_match, tree)
