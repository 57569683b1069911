"""Bad input: one clear line, exit status 2, and nothing written."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ckda_jax import train
from tests import runs


@pytest.fixture
def refused(tmp_path, capsys):
    """Run a command that must be refused; return what it says."""

    def run(roots, *more, **changes):
        before = runs.listing(tmp_path)
        folder = tmp_path / "new" / "run"
        assert train.main([*runs.words(folder, roots, **changes), *more]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert "Traceback" not in err
        assert runs.listing(tmp_path) == before
        return err

    return run


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": -1}, "config.seed=-1: must be at least 0"),
        ({"train__epochs": 0}, "config.train.epochs=0: must be at least 1"),
        ({"train__log_every": 0}, "config.train.log_every=0: must be at least 1"),
        ({"train__checkpoint_every": 0}, "must be at least 1"),
        ({"eval_every": -1}, "config.eval_every=-1: must be at least 0"),
        ({"train__images": 0}, "config.train.images=0: must be at least 1"),
        ({"train__identities": 3, "train__images": 1}, "choose a multiple of 2"),
        ({"eval__batch": 33}, "config.eval.batch has 33 rows, which 2 devices"),
        ({"model__heads": 5}, "cannot be split over config.model.heads 5"),
        ({"model__image_size": "36,16"}, "not a multiple of config.prompts.patch_size"),
        ({"model__patch_size": 20}, "smaller than config.model.patch_size 20"),
        ({"model__image_size": "16,8"}, "too small for the blur"),
        (
            {"model__stem": "none"},
            "config.model.stem='none'; choose one of patch, conv",
        ),
        ({"augment__blur_sigma": "3,0.1"}, "config.augment.blur_sigma=(3.0, 0.1): its"),
        (
            {"optim__lr_min": 0.5},
            "config.optim.lr_min=0.5 is above config.optim.lr=0.001",
        ),
        ({"alignment__relation": "x"}, "choose one of direct, pairwise"),
        (
            {"erasing__fill": "x"},
            "config.erasing.fill='x'; choose one of imagenet_mean, zero",
        ),
        ({"eval__modality": "llcm:x"}, "'llcm:x' is none of own, swapped"),
        ({"eval__modality": "lcm:swapped"}, "'lcm' is no dataset; there are regdb"),
        (
            {"data__resample": "x"},
            "config.data.resample='x'; choose one of direct, reference",
        ),
        (
            {"data__bad_images": "x"},
            "config.data.bad_images='x'; choose one of error, skip",
        ),
        (
            {"data__trial": 11},
            "config.data.trial=11: must be at least 1 and at most 10",
        ),
        ({"stages": "regdb,casia"}, "names 'casia'; there are"),
        ({"stages": ""}, "config.stages is empty"),
        ({"train__identities": 8}, "regdb: 6 identities cannot fill batches of 8"),
        ({"init__weights": "gone.npz"}, "gone.npz: there is no such file"),
        (
            {"init__weights": "vit.bin"},
            "weights are read from .safetensors, .npz, .pth",
        ),
        ({"init__weights": "asset:none"}, "the package ships no such weights"),
        ({"init__weights": "hub:timm/vit"}, "needs a pinned revision"),
        ({"init__allow_missing": "("}, "is no regular expression"),
        ({"preset": "ckdo"}, "no preset 'ckdo'; nearest: ckda"),
        (
            {"train__epoch": 3},
            "--config.train.epoch: no such key; nearest: train.epochs",
        ),
        ({"train__epochs": "many"}, "--config.train.epochs=many: must be of type int"),
    ],
)
def test_values_of_the_config(refused, world, changes, said):
    error = refused(world, **changes)
    assert said in error
    assert error.count("\n") == 1


def test_a_synthetic_world_drawn_in_vain_is_taken_away(refused, tmp_path):
    sizes = {"identities": 4, "test_identities": 2, "images": 2, "enabled": True}
    changes = {f"data__synthetic__{name}": value for name, value in sizes.items()}
    error = refused({}, train__identities=8, **changes)
    assert "regdb: 4 identities cannot fill batches of 8" in error


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("/proc/nowhere/run", "--workdir /proc/nowhere/run cannot be written ("),
        (f"{__file__}/run", f"{__file__} is a file; give another directory"),
        (__file__, f"{__file__} is a file; give another directory"),
    ],
)
def test_a_workdir_that_cannot_be(world, capsys, folder, said):
    assert train.main(runs.words(Path(folder), world)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --workdir ")
    assert said in error
    assert error.count("\n") == 1


def test_a_config_that_is_not_there(capsys, tmp_path):
    words = ["--config", "configs/synthtic.py", "--workdir", str(tmp_path / "run")]
    assert train.main(words) == 2
    assert "no such file; nearest: configs/synthetic.py" in capsys.readouterr().err
    assert runs.listing(tmp_path) == []


def index(root: Path, name: str) -> Path:
    """Name an index file of RegDB."""
    return root / "idx" / f"{name}_1.txt"


def first_image(root: Path) -> Path:
    """Name the first training image of RegDB."""
    return root / index(root, "train_visible").read_text().split()[0]


def without_folder(root: Path) -> Path:
    """Take half of the dataset away."""
    shutil.rmtree(root / "Thermal")
    return root


def without_index(root: Path) -> Path:
    """Take an index file away."""
    index(root, "test_thermal").unlink()
    return root


def without_label(root: Path) -> Path:
    """Cut the label off the second line."""
    lines = index(root, "train_visible").read_text().splitlines()
    lines[1] = lines[1].rpartition(" ")[0]
    index(root, "train_visible").write_text("\n".join(lines))
    return root


def without_infrared(root: Path) -> Path:
    """Take the infrared images of one identity off the training list."""
    lines = index(root, "train_thermal").read_text().splitlines()
    kept = [line for line in lines if not line.endswith(" 2")]
    index(root, "train_thermal").write_text("\n".join(kept))
    return root


def without_image(root: Path) -> Path:
    """Delete an image that the training list names."""
    first_image(root).unlink()
    return root


DATA = [
    (lambda root: root / "gone", "gone does not exist"),
    (lambda root: root.parent, "RegDB"),
    (first_image, "is not a folder"),
    (without_folder, "Thermal/"),
    (without_index, "idx/test_thermal_1.txt"),
    (without_label, "train_visible_1.txt line 2"),
    (without_infrared, "no infrared training images of identity"),
    (without_image, "first_image"),
]


@pytest.mark.parametrize(
    ("spoil", "said"), DATA, ids=lambda x: getattr(x, "__name__", "")
)
def test_a_dataset_that_is_not_as_released(refused, world, tmp_path, spoil, said):
    root = shutil.copytree(world["regdb"], tmp_path / "RegDB")
    said = first_image(root).name if said == "first_image" else said
    error = refused({"regdb": spoil(root)}, stages="regdb")
    assert said in error
    assert str(tmp_path) in error or "RegDB" in error


def corrupt(path: Path) -> None:
    """Overwrite the first half."""
    content = path.read_bytes()
    path.write_bytes(bytes(len(content) // 2) + content[len(content) // 2 :])


def truncate(path: Path) -> None:
    """Keep the first half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage(path: Path) -> None:
    """Save as PNG, under the same name, and overwrite a little of the middle."""
    with Image.open(path) as image:
        image.convert("RGB").save(path, format="PNG")
    content, middle = path.read_bytes(), path.stat().st_size // 2
    path.write_bytes(content[:middle] + bytes(24) + content[middle + 24 :])


def folder(path: Path) -> None:
    """Put a folder of that name in its place."""
    path.unlink()
    path.mkdir()


def empty(path: Path) -> None:
    """Keep nothing."""
    path.write_bytes(b"")


def tiny(path: Path) -> None:
    """Leave one pixel."""
    Image.new("RGB", (1, 1)).save(path)


def cmyk(path: Path) -> None:
    """Save as for a printer, under the same name."""
    Image.new("CMYK", (32, 64)).save(path, format="JPEG")


def sixteen_bit(path: Path) -> None:
    """Save as a thermal camera might, under the same name."""
    values = np.arange(32 * 64, dtype=np.uint16).reshape(64, 32)
    Image.fromarray(values).save(path, format="PNG")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (corrupt, "not an image that Pillow can read"),
        (truncate, "cannot be decoded ("),
        (damage, "cannot be decoded ("),
        (folder, "cannot be decoded (Is a directory)"),
        (empty, "the file is empty"),
        (tiny, "1x1 pixels can show nobody"),
        (cmyk, "mode CMYK is not 8-bit RGB, grey or palette; convert the file"),
        (sixteen_bit, "mode I;16 is not 8-bit RGB, grey or palette; convert the file"),
    ],
)
@pytest.mark.parametrize("place", ["train_visible", "test_thermal"])
def test_an_image_that_cannot_be_used(refused, world, tmp_path, place, spoil, said):
    root = shutil.copytree(world["regdb"], tmp_path / "RegDB")
    path = root / index(root, place).read_text().split()[0]
    spoil(path)
    error = refused({"regdb": root}, stages="regdb")
    assert str(path) in error and said in error
    assert "1 of " in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"not an archive", "cannot be read"),
        ({"backbone/cls_token": np.zeros(16)}, "the weights do not fit the model"),
        ({"anything": np.zeros(3)}, "the weights do not fit the model"),
        ({}, "holds no arrays"),
    ],
    ids=["empty", "text", "wide", "other", "nothing"],
)
@pytest.mark.parametrize("more", [("--check",), ()], ids=["check", "train"])
def test_weights_that_cannot_be_used(refused, world, tmp_path, content, said, more):
    path = tmp_path / "weights.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **content)
    error = refused(world, *more, init__weights=path, stages="regdb")
    assert str(path) in error and said in error
    assert error.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model__heads": 5}, "cannot be split over config.model.heads 5"),
        ({"data__roots__regdb": "/nowhere"}, "/nowhere"),
    ],
)
def test_a_process_ends_with_status_2(world, tmp_path, changes, said):
    words = runs.words(tmp_path / "run", world, **changes)
    done = runs.run_process("train", words, tmp_path / "cache")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and said in done.stderr
    assert runs.listing(tmp_path) == []
