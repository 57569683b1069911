"""The tables of a model's cost, from numbers made up."""

from ckda_jax.reporting import costs

PART = ("group", "part", "parameters", "flops")
CONTENT = {
    "model": "stem patch, width 8",
    "dtype": "float32",
    "device": "cpu",
    "cores": 2,
    "jax": "0.10.2",
    "convention": "2 FLOPs per multiply-add",
    "parts": [
        dict(zip(PART, values, strict=True))
        for values in (
            ("backbone", "stem", 1000, 3_000_000),
            ("backbone", "blocks", 8000, 6_000_000),
            ("modality embedding", "", 1000, 0),
            ("method's own modules", "", 0, 0),
        )
    ],
    "images_per_step": 64,
    "step_flops": {"the first stage": 7.2e12, "later ones": 9.6e12},
    "modality": "infrared",
    "repeats": 3,
    "batches": [
        {
            "batch": 8,
            "prompted": {
                "to_bare": {"median": 1.25, "low": 0.99, "high": 1.5},
                "p50_seconds": 0.5,
                "p99_seconds": 0.75,
                "images_per_second": 16.0,
                "memory_bytes": 2**30,
                "compile_seconds": 4.25,
                "seconds": [0.5, 0.5, 0.75],
            },
            "bare": {
                "p50_seconds": 0.4,
                "p99_seconds": 0.45,
                "images_per_second": 20.0,
                "memory_bytes": 2**29,
                "compile_seconds": 3.0,
                "seconds": [0.4, 0.4, 0.45],
            },
            "prompts": {"to_bare": {"median": 0.002, "low": 0.001, "high": 0.004}},
        }
    ],
    "peak_bytes": {"process": 3 * 2**30, "device": None},
}


def rows(table):
    return [tuple(str(cell) for cell in row) for row in table.rows]


def test_groups_of_several_parts_are_summed_up_and_empty_ones_left_out():
    (table,) = costs.paper_tables(CONTENT)
    assert rows(table) == [
        ("backbone", "9,000", "90.000", "9.000 M", "100.000"),
        ("  stem", "1,000", "10.000", "3.000 M", "33.333"),
        ("  blocks", "8,000", "80.000", "6.000 M", "66.667"),
        ("modality embedding", "1,000", "10.000", "–", "–"),
        ("total", "10,000", "100.000", "9.000 M", "100.000"),
    ]
    assert "64 images: 7.200 TFLOP in the first stage, 9.600 TFLOP" in table.caption


def test_both_sides_and_their_pairs_are_told_by_batch_size():
    sides, pairs = costs.measured_tables(CONTENT)
    assert rows(sides) == [
        ("8", "prompted", "500.0", "750.0", "16.0", "144.0 M", "1.00", "4.2"),
        ("8", "bare", "400.0", "450.0", "20.0", "180.0 M", "0.50", "3.0"),
    ]
    assert sides.title == "Embedding infrared images"
    assert sides.caption.startswith("float32 on cpu, 2 cores, JAX 0.10.2\n")
    assert sides.caption.endswith("the process 3.00 GiB")
    assert rows(pairs) == [
        ("8", "+25.00 %", "-1.00 to +50.00", "0.20 %", "0.10 to 0.40")
    ]
    assert "ratios of 3 rounds" in pairs.caption


def test_the_device_s_peak_is_told_where_it_is_known():
    content = {**CONTENT, "peak_bytes": {"process": 2**30, "device": 2**31}}
    sides, _ = costs.measured_tables(content)
    assert sides.caption.endswith("1.00 GiB, of the device 2.00 GiB")
