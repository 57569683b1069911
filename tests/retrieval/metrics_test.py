import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ckda_jax.retrieval.distances import Cosine
from ckda_jax.retrieval.metrics import Metrics, evaluate, ranked
from ckda_jax.retrieval.plan import Plan
from ckda_jax.retrieval.protocols import RULES
from ckda_jax.structs import InputError

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics.npz"
Inputs = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
CASES = (
    "small",
    "small_random",
    "small_noabsent",
    "tinygallery",
    "fewids",
    "removedmatch",
    "mid",
)


def twin(distances, query_ids, query_cameras, gallery_ids, gallery_cameras, rule):
    """Score one query after the other, one gallery image after the other."""
    removed = rule.removal(query_ids, query_cameras, gallery_ids, gallery_cameras)
    precisions, penalties, curves = [], [], []
    for q, identity in enumerate(query_ids):
        order = sorted(range(len(gallery_ids)), key=lambda g: (distances[q, g], g))
        names = [gallery_ids[g] for g in order if not removed[q, g]]
        ranks = [r for r, name in enumerate(names, start=1) if name == identity]
        if not ranks:
            continue
        precisions.append(np.mean([n / r for n, r in enumerate(ranks, start=1)]))
        penalties.append(len(ranks) / ranks[-1])
        listed = names if rule.cmc == "standard" else list(dict.fromkeys(names))
        curves.append([identity in listed[: r + 1] for r in range(20)])
    return Metrics(
        mAP=float(np.mean(precisions)),
        mINP=float(np.mean(penalties)),
        cmc=np.mean(curves, axis=0),
        valid=len(curves),
    )


def assert_equal(got, expected):
    assert got.valid == expected.valid
    np.testing.assert_allclose(got.mAP, expected.mAP, rtol=0, atol=1e-12)
    np.testing.assert_allclose(got.mINP, expected.mINP, rtol=0, atol=1e-12)
    np.testing.assert_allclose(got.cmc, expected.cmc, rtol=0, atol=1e-12)


def assert_same(got, expected):
    """Ranks are whole numbers: what was ranked elsewhere scores the same to a bit."""
    for name, value in dataclasses.asdict(expected).items():
        np.testing.assert_array_equal(getattr(got, name), value, err_msg=name)


def golden_inputs(case) -> Inputs:
    with np.load(GOLDEN) as file:
        distances, q_ids, q_cameras, g_ids, g_cameras = (
            file[f"{case}/{name}"]
            for name in ("distmat", "q_pids", "q_cams", "g_pids", "g_cams")
        )
    return distances, q_ids, q_cameras, g_ids, g_cameras


def random_inputs(seed, *, ties=False) -> Inputs:
    rng = np.random.default_rng(seed)
    distances = rng.normal(size=(37, 53))
    distances = distances.astype(np.float32)
    return (
        np.round(distances) if ties else distances,
        rng.integers(0, 12, 37),
        rng.choice([3, 6], 37),
        rng.integers(0, 9, 53),
        rng.choice([1, 2, 3, 4, 6], 53),
    )


@pytest.mark.parametrize(("name", "rule"), [("regdb", "standard"), ("sysu", "sysu")])
@pytest.mark.parametrize("case", CASES)
def test_equals_the_reference(case, name, rule):
    got = evaluate(*golden_inputs(case), RULES[rule])
    with np.load(GOLDEN) as file:
        cmc = file[f"{case}/{name}/cmc"]
        np.testing.assert_allclose(got.mAP, file[f"{case}/{name}/mAP"], atol=1e-12)
        np.testing.assert_allclose(got.mINP, file[f"{case}/{name}/mINP"], atol=1e-12)
    np.testing.assert_allclose(got.cmc[: len(cmc)], cmc, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(got.cmc[len(cmc) :], got.cmc[len(cmc) - 1])


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("ties", [False, True])
def test_equals_its_slow_twin(rule, ties):
    for seed in range(3):
        inputs = random_inputs(seed, ties=ties)
        expected = twin(*inputs, rule)
        assert_equal(evaluate(*inputs, rule), expected)
        assert_equal(evaluate(*inputs, rule, Plan(device=True)), expected)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_distances_may_be_infinite(rule):
    """A right image infinitely far still ranks before the removed ones."""
    for seed in range(3):
        finite, *_ = inputs = random_inputs(seed, ties=True)
        distances = np.where(finite > 0, np.float32(np.inf), finite)
        distances[finite < 0] = -np.inf
        inputs = (distances, *inputs[1:])
        expected = twin(*inputs, rule)
        assert_equal(evaluate(*inputs, rule), expected)
        assert_equal(evaluate(*inputs, rule, Plan(device=True)), expected)


@pytest.mark.parametrize("device", [False, True])
def test_embeddings_score_as_their_distances_do(device):
    who = random_inputs(3)[1:]
    rng = np.random.default_rng(0)
    query, gallery = (rng.integers(-2, 3, (n, 4)).astype(np.float32) for n in (37, 53))
    expected = twin(-(query @ gallery.T), *who, RULES["sysu"])
    plan = Plan(device=device, budget=30_000)
    for precision in (np.float32, np.float16):
        distances = Cosine(query.astype(precision), gallery.astype(precision))
        assert_equal(evaluate(distances, *who, RULES["sysu"], plan), expected)


def test_stays_within_its_budget():
    rng = np.random.default_rng(0)
    query, gallery = (rng.normal(size=(n, 4)).astype(np.float32) for n in (300, 5000))
    ids, cameras = rng.integers(0, 99, 300), rng.choice([3, 6], 300)
    who = ids, cameras, rng.integers(0, 99, 5000), rng.integers(1, 7, 5000)
    plan = Plan(budget=2**20, device=False, workers=2)
    tracemalloc.start()
    evaluate(Cosine(query, gallery), *who, RULES["llcm"], plan)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    beside = 24 * len(query) + 40 * len(gallery)  # scores, identities put in order
    assert peak < plan.budget + 2 * beside


def test_pads_rankings_of_unequal_length():
    inputs = golden_inputs("ragged")
    got = evaluate(*inputs, RULES["sysu"])
    assert got.cmc.shape == (20,)
    assert_equal(got, twin(*inputs, RULES["sysu"]))


@pytest.mark.parametrize("device", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_does_not_depend_on_the_plan(rule, device):
    for ties in (False, True):
        inputs = random_inputs(7, ties=ties)
        whole = evaluate(*inputs, RULES[rule], Plan(device=False, workers=3))
        for budget in (30_000,) if device else (6000, 30_000):
            plan = Plan(budget=budget, device=device)
            assert_same(evaluate(*inputs, RULES[rule], plan), whole)


def test_closed_form_of_both_cmcs():
    distances = np.array([[0.1, 0.2, 0.3, 0.4, 0.5]])
    one, cameras = np.array([1]), np.array([1, 1, 1, 1, 1])
    gallery = np.array([2, 2, 1, 3, 1])
    standard = evaluate(distances, one, one, gallery, cameras, RULES["standard"])
    assert standard.cmc[:4].tolist() == [0, 0, 1, 1]
    assert standard.mAP == pytest.approx((1 / 3 + 2 / 5) / 2)
    assert standard.mINP == pytest.approx(2 / 5)
    identity = evaluate(distances, one, one, gallery, cameras, RULES["sysu"])
    assert identity.cmc[:4].tolist() == [0, 1, 1, 1]
    assert identity.mAP == standard.mAP
    assert (identity.rank(1), identity.rank(2)) == (0.0, 1.0)


def test_equal_distances_rank_in_gallery_order():
    one = np.array([1])
    gallery = np.array([2, 1, 2, 1])
    got = evaluate(np.zeros((1, 4)), one, one, gallery, gallery, RULES["standard"])
    assert got.mAP == pytest.approx((1 / 2 + 2 / 4) / 2)


def test_leaves_out_queries_without_a_right_image():
    distances = np.array([[0.1, 0.2], [0.1, 0.2]])
    ids, cameras = np.array([1, 9]), np.array([1, 1])
    gallery = np.array([1, 2])
    got = evaluate(distances, ids, cameras, gallery, cameras, RULES["standard"])
    assert (got.valid, got.mAP, got.rank(1)) == (1, 1.0, 1.0)


def test_refuses_what_cannot_be_scored():
    one, two = np.array([1]), np.array([2, 2, 3])
    with pytest.raises(InputError, match="none of 1 queries has a right image"):
        evaluate(np.zeros((1, 3)), one, one, two, two, RULES["standard"])
    none = np.array([], dtype=int)
    with pytest.raises(InputError, match="none of 1 queries"):
        evaluate(np.zeros((1, 0)), one, one, none, none, RULES["sysu"])
    with pytest.raises(InputError, match="none of 0 queries"):
        evaluate(np.zeros((0, 3)), none, none, two, two, RULES["sysu"])
    for device in (False, True):
        with pytest.raises(InputError, match="1 of 3 distances are not a number"):
            evaluate(
                np.array([[0, np.nan, 1]], np.float32),
                *(one, one, two, two, RULES["standard"], Plan(device=device)),
            )
    with pytest.raises(InputError, match=r"shape \(1, 2\) do not belong to 1 queries"):
        evaluate(np.zeros((1, 2)), one, one, two, two, RULES["standard"])
    with pytest.raises(InputError, match="10 bytes .* one query's 3 .* at least 228"):
        tight = Plan(budget=10, device=False)
        evaluate(np.zeros((1, 3)), one, one, two, two, RULES["standard"], tight)


def test_ranked_lists_the_nearest_that_remain():
    distances = np.array([0.5, 0.1, 0.5, 0.3, 0.2], dtype=np.float32)
    removed = np.array([False, True, False, False, False])
    assert ranked(distances, removed, 3).tolist() == [4, 3, 0]
    assert ranked(distances, removed).tolist() == [4, 3, 0, 2]
