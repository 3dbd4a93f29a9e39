"""The table of the benchmark of an accelerator: whose rows they are, and what each of them says."""

import json

import pytest

from experiments.benchmarks import _rows, accelerator

MACHINE = {
    "kind": "machine",
    "device": "1 x Fast",
    "platform": "gpu",
    "versions": {"jax": "0.10.2"},
    "date": "2026-01-02",
}
SCAN = {"kind": "scan", "width": 1.0, "batch": 128, "dtype": "float32", "precision": "highest", "batching": "measured"}
TABLE = """On 1 x Fast (gpu, jax 0.10.2), 2026-01-02: VGG-A with batch norm, batches of 128 images of 32x32.

| device | rate |
|---|---|
| matrix product, bfloat16, default | 700.000 TFLOP/s |
| copy | 4,000.0 GB/s |
| convolutions in bfloat16 | 1 of 2 shapes run |
| convolution 2 x 2, 8 to 8 channels | no algorithm |

| net | batching | per second | images per second | share of matrix rate |
|---|---|---|---|---|
| scan, width 1, float32, precision highest | measured (16 products) | 1,000.0 points | 128,000 | 50% |
| training, width 0.25, bfloat16, precision default | chunks | no time was left | | |

| command | seconds | ended |
|---|---|---|
| rates | 12 | done |"""


def test_the_table_names_machine_net_and_batch():
    """Of a row that was measured twice it has the later one."""
    shape = {"kind": "convolution", "dtype": "bfloat16"}
    training = {**SCAN, "kind": "training", "width": 0.25, "dtype": "bfloat16", "precision": "default"}
    rows = [
        MACHINE,
        {
            "kind": "rate",
            "what": "matrix product",
            "dtype": "bfloat16",
            "precision": "default",
            "operations_per_second": 7e14,
        },
        {"kind": "rate", "what": "copy", "bytes_per_second": 4e12},
        {**shape, "what": "4 x 4, 8 to 8 channels", "operations_per_second": 1e12},
        {**shape, "what": "2 x 2, 8 to 8 channels", "error": "no algorithm"},
        {"kind": "command", "what": "rates", "seconds": 12.1},
        {**SCAN, "error": "no time was left"},
        {
            **SCAN,
            "points_per_second": 1e3,
            "images_per_second": 1.28e5,
            "share": 0.5,
            "found": {"batching": 16, "kernels": "products"},
        },
        {**training, "batching": "chunks", "error": "no time was left"},
    ]
    assert _rows.table(rows) == TABLE
    assert "| device | rate |" in _rows.table([])


RATE = {"kind": "rate", "what": "copy", "bytes_per_second": 4e12}


def test_rows_belong_to_the_machine_before_them():
    """Another machine's have a table of their own; the same machine's of another day are in one."""
    slow = {**MACHINE, "device": "1 x Slow"}
    rows = [MACHINE, RATE, {**SCAN, "error": "no"}, slow, {**RATE, "bytes_per_second": 1e9}]
    first, second = _rows.table(rows).split("\n\nOn ")
    assert first.startswith("On 1 x Slow")
    assert "| copy | 1.0 GB/s |" in first
    assert "scan" not in first
    assert second.startswith("1 x Fast")
    assert "| copy | 4,000.0 GB/s |" in second
    again = _rows.table([*rows, {**MACHINE, "date": "2026-01-03"}, {**SCAN, "error": "later"}])
    assert again.startswith("On 1 x Fast (gpu, jax 0.10.2), 2026-01-03")
    assert again.index("4,000.0 GB/s") < again.index("| later |") < again.index("On 1 x Slow")


@pytest.mark.parametrize(
    ("written", "kept"),
    [(["", "no time was left"], ""), (["no time was left", ""], ""), (["not measured", "no kernel"], "no kernel")],
)
def test_an_error_replaces_no_measurement(written, kept):
    """It replaces another error, and a measurement replaces both."""
    rows = [{**RATE, **({"error": error} if error else {})} for error in written]
    (row,) = _rows.by_machine([MACHINE, *rows])[0][1]
    assert row.get("error", "") == kept


@pytest.mark.parametrize(
    ("device", "named"), [("1 x Fast", "On 1 x Fast ("), ("8 x Fast", "On one of 8 x Fast ("), ("CPU", "On CPU (")]
)
def test_rates_are_those_of_one_device(device, named):
    """Of several devices one is measured."""
    assert _rows.table([{**MACHINE, "device": device}]).startswith(named)


def test_a_command_says_what_it_does_beside():
    """It stands after its name."""
    rows = [{"kind": "command", "what": "landscape", "beside": "2 deep linear nets", "seconds": 3.0}]
    assert "| landscape; 2 deep linear nets | 3 | done |" in _rows.table(rows)


def test_numbers_that_json_lacks_are_null(tmp_path):
    """Readers other than Python's refuse Infinity and NaN."""
    rows = _rows.Rows(tmp_path / "rows.jsonl")
    rows.add(kind="scan", found={"milliseconds": {1: 2.0, 16: float("inf")}}, share=float("nan"))

    def refuse(word):
        raise ValueError(word)

    (line,) = rows.path.read_text().splitlines()
    found = json.loads(line, parse_constant=refuse)
    assert found == {"kind": "scan", "found": {"milliseconds": {"1": 2.0, "16": None}}, "share": None}


def test_the_table_alone(tmp_path, capsys):
    """It is made of the rows that are there, without a device; a folder without rows is refused."""
    with pytest.raises(SystemExit, match=r"error: output must be a folder with rows.jsonl, there is no .*rows.jsonl\."):
        accelerator.main(["--table", "--output", str(tmp_path)])
    _rows.Rows(tmp_path / "rows.jsonl").add_all([MACHINE, RATE])
    accelerator.main(["--table", "--output", str(tmp_path)])
    assert "| copy | 4,000.0 GB/s |" in capsys.readouterr().out
    assert "| copy | 4,000.0 GB/s |" in (tmp_path / "table.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"rows.jsonl", "table.md"}
