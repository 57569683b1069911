"""Lifelong visible-infrared person re-identification in JAX.

Training is by the command line (`python -m ckda_jax.train`). What it learned serves
programs in three calls, which docs/search.md explains:

    model = ckda_jax.load_model("runs/site")
    vectors = model.embed(["query.png"], "infrared")
    answers = ckda_jax.open_gallery("people", model=model).search(vectors)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ckda_jax.build.inference import load_model as load_model
    from ckda_jax.retrieval.gallery import open_gallery as open_gallery

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import a public function when it is first asked for: some need JAX, and time."""
    if name == "load_model":
        from ckda_jax.build.inference import load_model

        return load_model
    if name == "open_gallery":
        from ckda_jax.retrieval.gallery import open_gallery

        return open_gallery
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
