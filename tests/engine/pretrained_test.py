import json
import sys
import types

import numpy as np
import pytest
from safetensors.numpy import save_file

from ckda_jax.engine import pretrained
from ckda_jax.models import weights
from ckda_jax.structs import InputError
from ckda_jax.trees import named_leaves
from tests.models import tiny

GRID = (5, 2)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def variables():
    return tiny.drawn(tiny.model_shapes(tiny.model()))


@pytest.fixture(scope="module")
def backbone(variables):
    return weights.export_backbone(variables, GRID)


@pytest.fixture
def assets(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained.importlib.resources, "files", lambda _: tmp_path)
    (tmp_path / "assets").mkdir()
    return tmp_path / "assets"


def blank(variables):
    return tiny.map_named(lambda _, leaf: np.zeros(leaf.shape, leaf.dtype), variables)


def write(path, arrays):
    save = save_file if path.suffix == ".safetensors" else lambda a, p: np.savez(p, **a)
    save({name: np.ascontiguousarray(a) for name, a in arrays.items()}, path)
    return str(path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_loads_a_backbone_from_either_format(tmp_path, variables, backbone, suffix):
    spec = write(tmp_path / f"vit{suffix}", backbone)
    filled = pretrained.load_backbone(spec, blank(variables), grid=GRID)
    ours, theirs = named_leaves(filled), named_leaves(variables)
    name = "params/backbone/blocks/mlp/fc2/kernel"
    np.testing.assert_array_equal(ours[name], theirs[name])
    assert not np.any(ours["params/classifier/kernel"])


def test_loads_a_whole_checkpoint_of_the_released_code(tmp_path, variables):
    state = weights.export_reference(variables)
    state["base.IN.num_batches_tracked"] = np.array(3)
    wrapped = {f"module.{name}": value for name, value in state.items()}
    spec = write(tmp_path / "ckda.npz", wrapped)
    filled = pretrained.load_backbone(spec, blank(variables), grid=GRID)
    for name, value in named_leaves(filled).items():
        np.testing.assert_array_equal(value, named_leaves(variables)[name])


def test_a_misfit_names_the_file(tmp_path, variables, backbone):
    spec = write(tmp_path / "vit.npz", {**backbone, "stranger": np.zeros(1)})
    misfit = r"vit\.npz: the weights do not fit.*stranger.*config\.init\.allow_missing"
    with pytest.raises(InputError, match=misfit):
        pretrained.load_backbone(spec, variables, grid=GRID)
    pretrained.load_backbone(spec, variables, grid=GRID, allow_extra="stranger")


@pytest.mark.parametrize("name", ["vit.npz", "vit.safetensors"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff" * 64])
def test_a_damaged_file_is_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="cannot be read") as caught:
        pretrained.read_arrays(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_numbers_of_a_type_that_numpy_lacks_are_one_line(tmp_path):
    entry = {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}
    header = json.dumps({"x": entry}).encode()
    path = tmp_path / "vit.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\x38\x38")
    with pytest.raises(InputError, match=r"vit\.safetensors: .*float32") as caught:
        pretrained.read_arrays(path)
    assert "\n" not in str(caught.value)


def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "vit.npz", x=np.array([{"a": 1}], object))
    with pytest.raises(InputError, match="cannot be read"):
        pretrained.read_arrays(tmp_path / "vit.npz")


def test_a_file_without_arrays(tmp_path):
    np.savez(tmp_path / "vit.npz")
    with pytest.raises(InputError, match="holds no arrays"):
        pretrained.read_arrays(tmp_path / "vit.npz")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("missing.npz", "no such file"),
        ("vit.bin", r"\.safetensors, \.npz, \.pth"),
        ("", "asset:NAME"),
        ("hub:timm/vit", "pinned revision"),
        ("hub:timm/vit@main", "pinned revision"),
    ],
)
def test_locate_refuses_what_names_no_weights(spec, said):
    with pytest.raises(InputError, match=said):
        pretrained.locate(spec)


def test_a_pth_file_without_torch_says_how_to_make_an_npz(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "ckda.pth").write_bytes(b"x")
    with pytest.raises(InputError) as caught:
        pretrained.read_arrays(tmp_path / "ckda.pth")
    first, *remedy = str(caught.value).splitlines()
    assert "torch, which is not installed" in first
    assert len(remedy) == 2
    assert 'torch.load("ckda.pth", weights_only=True)' in remedy[0]
    assert 'numpy.savez("ckda.npz"' in remedy[1]


class FakeTensor:
    dtype = "torch.float32"

    def __init__(self, value):
        self.value = value

    def detach(self):
        return self

    def numpy(self):
        return self.value


def test_a_pth_file_is_read_in_restricted_mode_alone(tmp_path, monkeypatch):
    given = []

    def load(path, **options):
        given.append(options)
        return {"state_dict": {"module.x": FakeTensor(np.ones(2)), "epoch": 3}}

    torch = types.SimpleNamespace(load=load, Tensor=FakeTensor)
    monkeypatch.setitem(sys.modules, "torch", torch)
    arrays = pretrained.read_arrays(tmp_path / "ckda.pth")
    assert given == [{"map_location": "cpu", "weights_only": True}]
    assert list(arrays) == ["x"]
    np.testing.assert_array_equal(arrays["x"], np.ones(2))


def test_a_download_without_the_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="huggingface_hub is not installed") as caught:
        pretrained.locate(f"hub:timm/vit@{COMMIT}")
    assert "\n" not in str(caught.value)


def test_a_download_without_a_network_is_one_line(monkeypatch):
    def fail(*_, **__):
        raise OSError("no route to host\nmore")

    hub = types.SimpleNamespace(hf_hub_download=fail)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(InputError, match="no route to host.*give its path") as caught:
        pretrained.locate(f"hub:timm/vit@{COMMIT}")
    assert "\n" not in str(caught.value)


def test_a_download_asks_for_the_pinned_revision(monkeypatch, tmp_path):
    asked = []

    def fetch(repository, name, *, revision):
        asked.append((repository, name, revision))
        return str(tmp_path / name)

    hub = types.SimpleNamespace(hf_hub_download=fetch)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    path = pretrained.locate(f"hub:timm/vit@{COMMIT}")
    assert asked == [("timm/vit", "model.safetensors", COMMIT)]
    assert path == tmp_path / "model.safetensors"


def test_write_arrays_returns_the_digest_of_what_it_wrote(tmp_path, backbone):
    path = tmp_path / "vit.npz"
    assert pretrained.write_arrays(path, backbone) == pretrained.digest(path)
    assert [p.name for p in tmp_path.iterdir()] == ["vit.npz"]
    read = pretrained.read_arrays(path)
    for name, value in backbone.items():
        np.testing.assert_array_equal(read[name], value)


def test_an_asset_is_checked_against_its_sidecar(assets, backbone):
    sha256 = pretrained.write_arrays(assets / "vit.npz", backbone)
    (assets / "vit.json").write_text(json.dumps({"sha256": sha256}))
    assert pretrained.locate("asset:vit") == assets / "vit.npz"
    assert pretrained.locate("asset:vit.npz") == assets / "vit.npz"
    (assets / "vit.npz").write_bytes(b"changed")
    with pytest.raises(InputError, match="differs from the digest"):
        pretrained.locate("asset:vit")


@pytest.mark.parametrize("sidecar", [None, "{", "[]", "{}"])
def test_an_asset_without_a_digest(assets, backbone, sidecar):
    pretrained.write_arrays(assets / "vit.npz", backbone)
    if sidecar is not None:
        (assets / "vit.json").write_text(sidecar)
    with pytest.raises(InputError, match=r"vit\.json does not state the file's sha256"):
        pretrained.locate("asset:vit")


def test_an_unknown_asset_lists_those_there_are(assets, backbone):
    with pytest.raises(InputError, match="there are: none"):
        pretrained.locate("asset:vit")
    pretrained.write_arrays(assets / "small.npz", backbone)
    with pytest.raises(InputError, match="there are: small"):
        pretrained.locate("asset:vit")
