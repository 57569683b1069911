import pytest

from ckda_jax.parity import prompts
from tests.parity import folders


@pytest.mark.parametrize(
    ("key", "missed"),
    [
        ("f64/train/com_prompts", ["train/com_prompts"]),
        ("f64/eval/com_mid_IN", ["eval/com_mid_IN"]),
        ("order/rows", ["order/rows"]),
    ],
)
def test_a_changed_value_is_the_only_miss(key, missed):
    file = folders.changed("prompts.npz", key)
    rows = prompts.compare(file, folders.sizes(), "float32")
    assert folders.missed(rows) == missed
    assert file.unread() == []
