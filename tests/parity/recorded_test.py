import numpy as np

from ckda_jax.models.weights import export_reference
from ckda_jax.parity import recorded
from tests.parity import folders


def test_build_reads_every_size_that_is_not_stated():
    state = folders.read("model_tiny.npz").state("sd/")
    state["base.blocks.0.mlp.fc1.bias"] = np.zeros(2 * 48, np.float32)
    state["base.com_net_pre.0.weight"] = np.zeros((6, 3 * 8 * 8), np.float32)
    state["base.rgb_net.0.weight"] = np.zeros((10, 3 * 8 * 8), np.float32)
    model = recorded.build(folders.sizes(), state, 9, "float64")
    assert (model.mlp_ratio, model.common_width, model.specific_width) == (2, 6, 10)
    assert (model.prompt_patch_size, model.classes) == (8, 9)
    assert (model.dropout, model.drop_path, model.prompt_dropout) == (0, 0, 0)


def test_variables_hold_the_recorded_values():
    state = folders.read("model_tiny.npz").state("sd/")
    model = recorded.build(folders.sizes(), state, 5, "float32")
    ours = export_reference(recorded.variables(model, state))
    for name, value in ours.items():
        np.testing.assert_array_equal(value, state[name], err_msg=name)


def test_images_have_channels_last():
    assert recorded.images(np.zeros((2, 3, 4, 5)), "float32").shape == (2, 4, 5, 3)
