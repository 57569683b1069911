import jax
import jax.numpy as jnp
import numpy as np

from ckda_jax.structs import Records, StageInfo, concatenate_records


def stage(first_row=2, classes=3, replayed=()):
    return StageInfo(
        index=jnp.int32(1),
        first_row=jnp.int32(first_row),
        classes=jnp.int32(classes),
        steps_per_epoch=jnp.int32(1),
        replayed=jnp.isin(jnp.arange(6), jnp.array(replayed)),
    )


def records(n, start=0):
    number = np.arange(start, start + n)
    return Records(
        paths=number.astype(str),
        identity=number,
        modality=(number % 2).astype(np.int8),
        camera=number.astype(np.int32),
        tracklet=np.full(n, -1, np.int32),
    )


def test_rows_are_the_slice_and_what_is_replayed():
    assert stage().rows().tolist() == [False, False, True, True, True, False]
    mixed = stage(replayed=(0,)).rows()
    assert mixed.tolist() == [True, False, True, True, True, False]


def test_rows_of_another_stage_need_no_new_compilation():
    traces = []

    @jax.jit
    def rows(info):
        traces.append(info)
        return info.rows()

    assert rows(stage(0, 2)).tolist() == [True, True, False, False, False, False]
    assert rows(stage(5, 1)).tolist() == [False, False, False, False, False, True]
    assert len(traces) == 1


def test_slice_is_taken_and_put_back():
    kernel = jnp.arange(12.0).reshape(2, 6)
    info = stage()
    own = info.slice_of(kernel)
    assert own.tolist() == [[2.0, 3.0, 4.0], [8.0, 9.0, 10.0]]
    moved = info.put_slice(kernel, -own)
    assert moved.tolist()[0] == [0.0, 1.0, -2.0, -3.0, -4.0, 5.0]
    assert info.put_slice(moved, own).tolist() == kernel.tolist()


def test_records_are_taken_by_index_or_mask_and_stacked():
    table = records(4)
    picked = table.take(np.array([2, 0]))
    assert picked.identity.tolist() == [2, 0] and picked.paths.tolist() == ["2", "0"]
    odd = table.take(table.modality == 1)
    assert odd.camera.tolist() == [1, 3] and len(odd) == 2
    both = concatenate_records([odd, records(2, start=7)])
    assert both.identity.tolist() == [1, 3, 7, 8]
    assert both.modality.dtype == np.int8 and both.tracklet.tolist() == [-1] * 4
