import pytest

from ckda_jax.losses.metric import ANCHORS
from ckda_jax.methods import METHODS
from ckda_jax.methods.parts import Metric
from tests import tiny

LEARNING = {"identity", "triplet", "centres", "cross"}
PROTECTING = {"prompt_consistency", "alignment"}


def losses(name, **changes):
    """The parts' losses in a step with a teacher, without their `loss/`."""
    method = METHODS[name](tiny.settings(**changes))
    memory = tiny.memory(method, made())
    _, metrics = tiny.quick(lambda m: method.loss(tiny.view(m)))(memory)
    found = {n: float(v) for n, v in metrics.items()}
    return {n.removeprefix("loss/"): v for n, v in found.items() if "loss/" in n}


def made():
    return tiny.variables(tiny.model())


def test_ckda_is_what_learns_and_what_protects():
    assert set(losses("ckda")) == LEARNING | PROTECTING
    assert set(losses("finetune")) == LEARNING
    assert set(losses("finetune", contrastive={"weight": 1.0})) == LEARNING | {
        "contrastive"
    }


def test_fine_tuning_remembers_nothing_and_merges_nothing():
    method = METHODS["finetune"](tiny.settings())
    end = tiny.stage_end(made(), 1)
    memory = method.init(end.key, made())
    assert memory == {} == method.consolidate(memory, end)
    assert method.merge(made(), tiny.teacher(made()), end) is made()


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("identity", {"identity": {"weight": 3.0}}),
        ("triplet", {"triplet": {"weight": 3.0}}),
        ("centres", {"centres": {"weight": 3.0}}),
        ("cross", {"cross": {"weight": 3.0}}),
        ("cross", {"cross": {"anchor": ANCHORS[1]}}),
        ("prompt_consistency", {"prompt_consistency": {"weight": 3.0}}),
        ("alignment", {"alignment": {"student_space": "feature"}}),
        ("alignment", {"alignment": {"inter_weight": 0.9}}),
        ("alignment", {"engine": {"temperature": 1.0}}),
        ("alignment", {"engine": {"relation": "pairwise"}}),
    ],
)
def test_settings_reach_their_part_alone(part, changes):
    wide = Metric(margin=5.0)
    plain = losses("ckda", metric=wide)
    changed = losses("ckda", metric=wide, **changes)
    assert {n for n in plain if plain[n] != changed[n]} == {part}


def test_what_the_triplets_share_reaches_all_of_them():
    plain = losses("ckda", metric=Metric(margin=5.0))
    changed = losses("ckda", metric=Metric(margin=6.0))
    different = {n for n in plain if plain[n] != changed[n]}
    assert different == {"triplet", "centres", "cross"}


def test_merge_takes_its_settings():
    method = METHODS["ckda"](tiny.settings(merge={"old_weight": 1.0}))
    old = tiny.teacher(made())
    found = method.merge(made(), old, tiny.stage_end(made(), 1))
    scale = found["params"]["neck"]["scale"]
    assert scale.tolist() == old["params"]["neck"]["scale"].tolist()
