"""The compile cache's folder."""

import jax
import pytest

from ckda_jax.build import use_compile_cache

KEY = "jax_compilation_cache_dir"


@pytest.fixture(autouse=True)
def restored():
    """Leave the settings of the other tests alone."""
    keys = (KEY, "jax_persistent_cache_min_compile_time_secs")
    before = {key: getattr(jax.config, key) for key in keys}
    yield
    for key, value in before.items():
        jax.config.update(key, value)


def test_none_leaves_the_setting_alone():
    before = getattr(jax.config, KEY)
    use_compile_cache("")
    assert getattr(jax.config, KEY) == before


def test_a_folder_is_taken():
    use_compile_cache("some/folder")
    assert getattr(jax.config, KEY) == "some/folder"


@pytest.mark.parametrize("home", ["/caches", ""])
def test_auto_is_the_users_cache(monkeypatch, tmp_path, home):
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    monkeypatch.setenv("HOME", str(tmp_path))
    use_compile_cache("auto")
    assert getattr(jax.config, KEY) == f"{home or tmp_path / '.cache'}/ckda_jax"
