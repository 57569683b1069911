from ckda_jax.data.synthetic import people
from ckda_jax.data.synthetic.wardrobe import HAIRCUTS, LOWERS, UPPERS


def test_every_choice_has_its_measures():
    assert tuple(HAIRCUTS) == people.HAIR
    assert tuple(UPPERS) == people.UPPER
    assert tuple(LOWERS) == people.LOWER


def test_garments_keep_within_the_body():
    assert all(0 <= upper.sleeve <= 2 and upper.bulk >= 1 for upper in UPPERS.values())
    assert all(lower.skirt[0] < 0.46 for lower in LOWERS.values())
