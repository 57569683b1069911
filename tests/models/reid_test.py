from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.models import norm
from ckda_jax.models.reid import ReIDModel
from ckda_jax.trees import named_leaves
from tests.models import tiny

MIDDLE = {
    "images": "patch_embed_in",
    "patch_embed": "patch_embed",
    "tokens": "tokens_in",
    "norm": "norm",
}
TOLERANCES = [("float64", 1e-12), ("float32", 2e-5)]


@pytest.fixture(scope="module")
def arrays(golden):
    return golden("model_tiny")


def prepared(arrays, dtype, **changes):
    model = tiny.model(param_dtype=jnp.dtype(dtype), **changes)
    variables = tiny.recorded_variables(model, arrays)
    images = tiny.regroup(arrays["x"], arrays["mod"])
    return model, variables, jnp.asarray(images, dtype)


def close(arrays, name, ours, atol):
    expected = tiny.regroup(arrays[name], arrays["mod"])
    chex.assert_trees_all_close(np.asarray(ours, np.float64), expected, atol=atol)


@pytest.mark.portable
@pytest.mark.parametrize(("dtype", "atol"), TOLERANCES)
def test_evaluation_equals_the_recorded_outputs(arrays, x64, dtype, atol):
    model, variables, images = prepared(arrays, dtype)
    apply = jax.jit(lambda v, x: model.apply(v, x, blocks=True))
    embedding, out = apply(variables, images)
    assert embedding.dtype == out.logits.dtype == jnp.dtype(dtype)
    close(arrays, "f64/eval/feat_l2", embedding, atol)
    close(arrays, "f64/eval/feat_pre_bn", out.feature, atol)
    close(arrays, "f64/eval/feat_post_bn", out.neck, atol)
    close(arrays, "f64/eval/fkd_prompt", out.prompt, atol)
    # What was recorded on the way has no float64 twin: 4e-6 of the largest value.
    for ours, theirs in MIDDLE.items():
        largest = np.abs(arrays[f"eval/mid_{theirs}"]).max()
        close(arrays, f"eval/mid_{theirs}", out.blocks[ours], 4e-6 * largest)
    for layer in range(2):
        for ours, theirs in (("attention", f"{layer}_attn"), ("block", f"{layer}")):
            largest = np.abs(arrays[f"eval/mid_block{theirs}"]).max()
            ours = out.blocks[ours][layer]
            close(arrays, f"eval/mid_block{theirs}", ours, 4e-6 * largest)


@pytest.mark.parametrize(("dtype", "atol"), TOLERANCES)
def test_training_equals_the_recorded_outputs(arrays, x64, dtype, atol):
    model, variables, images = prepared(arrays, dtype)
    apply = jax.jit(lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"]))
    (_, out), moved = apply(variables, images)
    close(arrays, "f64/train/cls_score", out.logits, atol)
    close(arrays, "f64/train/features", out.feature, atol)
    close(arrays, "f64/train/prompt", out.prompt, atol)
    ours, theirs = tiny.statistics(moved, arrays, "f64/train/buf_after/")
    chex.assert_trees_all_close(ours, theirs, atol=min(atol, 2e-6))


def test_one_modality_equals_the_recorded_outputs(arrays, x64):
    model, variables, _ = prepared(arrays, "float64")
    images = jnp.asarray(tiny.channels_last(arrays["x"]), jnp.float64)[None]
    for modality, name in (((0,), "allvis"), ((1,), "allinf")):
        apply = jax.jit(lambda v, x, ids=modality: model.apply(v, x, ids)[0])
        expected = arrays[f"f64/eval/feat_l2_{name}"]
        embedding = np.asarray(apply(variables, images))[0]
        chex.assert_trees_all_close(embedding, expected, atol=1e-12)


def small(**changes):
    """A model of one block on 16 x 16 pixels, its variables and random images."""
    sizes: dict[str, Any] = {"image_size": (16, 16), "width": 8, "depth": 1, "heads": 2}
    sizes |= {"prompt_patch_size": 8, "common_width": 4, "specific_width": 2}
    model = tiny.model(**(sizes | changes))
    shape = (model.modalities, 3, *model.image_size, 3)
    images = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    return model, tiny.drawn(tiny.model_shapes(model)), jnp.asarray(images)


def run(model, variables, images, modality=(0, 1), **options):
    return jax.jit(lambda v, x: model.apply(v, x, modality, **options))(
        variables, images
    )


def training(model, variables, images, modality=(0, 1), **options):
    keys = {"dropout": jax.random.key(0, impl="rbg")}
    options |= {"train": True, "mutable": ["batch_stats"], "rngs": keys}
    return run(model, variables, images, modality, **options)


def test_rows_are_taken_by_modality_in_any_order():
    model, variables, images = small(modalities=3)
    every, _ = run(model, variables, images, (0, 1, 2))
    some, out = run(model, variables, images[jnp.array([2, 0])], (2, 0))
    chex.assert_trees_all_close(some, every[jnp.array([2, 0])], atol=1e-5)
    chex.assert_shape(out.specific_prompt, (2, 3, 16, 16, 3))


def test_generators_that_are_not_asked_for_compute_nothing():
    model, variables, images = small(modalities=3)

    def products(modality):
        given = images[: len(modality)]
        program = jax.make_jaxpr(lambda v: model.apply(v, given, modality)[0])
        text = str(program(variables))
        return text.count("f32[1,3,4,2]"), text.count("f32[3,3,4,2]")

    # The hidden map of each generator: [m, b, n, width].
    assert products((0, 1, 2))[0] == 0 < products((0, 1, 2))[1]
    assert products((2,))[1] == 0 < products((2,))[0]


def test_prompt_alone_equals_the_prompt_of_the_whole():
    model, variables, images = small()
    _, out = run(model, variables, images)
    prompt, common, specific = run(model, variables, images, method="prompt")
    chex.assert_trees_all_close(prompt, out.prompt, atol=1e-6)
    chex.assert_trees_all_close(common + specific, prompt, atol=1e-6)
    chex.assert_trees_all_close(common, out.common_prompt, atol=1e-6)


def test_clean_prompt_differs_from_the_training_one():
    # Why comparing the student's training prompt with a frozen model's is never zero.
    model, variables, images = small(prompt_dropout=0.1)
    (_, out), _ = training(model, variables, images)
    clean, _, _ = run(model, variables, images, method="prompt")
    assert float(jnp.mean(jnp.abs(out.prompt - clean))) > 0.01


@pytest.mark.parametrize("named", [False, True])
def test_absent_modality_enters_no_statistic(named):
    model, variables, images = small()
    if named:
        (_, out), moved = training(model, variables, images[:1], (0,))
    else:
        images = images.at[1].set(1e3)
        present = jnp.array([True, False])
        (_, out), moved = training(model, variables, images, (0, 1), present=present)
    alone, stats = training(model, variables, images[:1], (0,))
    chex.assert_trees_all_close(out.neck[0], alone[1].neck[0], atol=1e-5)
    chex.assert_trees_all_close(moved, stats, atol=1e-6)
    before = variables["batch_stats"]["specific"]["norm"]
    after = moved["batch_stats"]["specific"]["norm"]
    chex.assert_trees_all_equal(*(jax.tree.map(lambda x: x[1], (before, after))))
    chex.assert_tree_all_finite(out)


def test_wrap_is_passed_to_the_blocks():
    model, variables, images = small()
    skip = run(model, variables, images, wrap=lambda call, layer: lambda x: x)
    _, out = run(model, variables, images, blocks=True)
    last = norm.layer_norm(1e-5, None, jnp.float32)
    params = {"params": variables["params"]["backbone"]["norm"]}
    expected = tiny.apply(last, params, out.blocks["tokens"])
    chex.assert_trees_all_close(skip[1].feature, expected[:, :, 0], atol=1e-5)


def test_half_precision_computes_close_by_and_returns_float32():
    model, variables, images = small()
    half = model.clone(dtype=jnp.bfloat16)
    embedding, out = run(half, variables, images)
    expected, _ = run(model, variables, images)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(out)} == {"float32"}
    chex.assert_trees_all_close(embedding, expected, atol=0.1)
    assert jnp.abs(embedding - expected).max() > 0


def test_embedding_has_length_one_and_zero_is_safe():
    model, variables, images = small()
    embedding, _ = run(model, variables, images)
    lengths = jnp.linalg.norm(embedding, axis=-1)
    chex.assert_trees_all_close(lengths, jnp.ones((2, 3)), atol=1e-6)
    zero = jax.tree.map(jnp.zeros_like, variables["params"]["neck"])
    variables["params"]["neck"] = zero
    embedding, _ = run(model, variables, images)
    assert not embedding.any()


def test_full_size_counts_its_parameters():
    model = ReIDModel(classes=395)
    images = jax.ShapeDtypeStruct((2, 1, 256, 128, 3), jnp.float32)
    variables = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, (0, 1)), images
    )
    leaves = named_leaves(variables["params"])

    def count(prefix):
        return sum(x.size for name, x in leaves.items() if name.startswith(prefix))

    assert count("backbone") - count("backbone/mod_embed") == 85_809_408
    assert count("backbone/mod_embed") == 1_536
    assert count("specific") == 50_784
    assert count("common") == 13_144
    assert count("neck") == 1_536
    assert count("classifier") == 303_360
    assert leaves["backbone/pos_embed"].shape == (211, 768)


@pytest.mark.parametrize(
    ("modality", "size", "said"),
    [
        ((0, 2), (16, 16), "ids must be distinct and below 2"),
        ((0, 0), (16, 16), "ids must be distinct and below 2"),
        ((0, 1), (16, 24), r"images of \(16, 24\) pixels: wanted \(16, 16\)"),
    ],
)
def test_what_does_not_fit_is_refused(modality, size, said):
    model, variables, _ = small()
    with pytest.raises(ValueError, match=said):
        model.apply(variables, jnp.zeros((2, 1, *size, 3)), modality)


def test_image_size_must_fit_the_prompt_patch():
    model = tiny.model(image_size=(40, 32))
    with pytest.raises(ValueError, match="multiples of the prompt patch, 16"):
        tiny.model_shapes(model)
