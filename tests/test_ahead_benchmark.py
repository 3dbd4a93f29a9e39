"""The table of what compilers of accelerators make of bnjax, here for the CPU that is at hand."""

import os
from collections import Counter

import jax
import jax.numpy as jnp
import pytest
from conftest import ROOT

from experiments.benchmarks import _ahead, ahead
from experiments.benchmarks._rows import Rows


@pytest.fixture
def compile_for_cpu(monkeypatch, tmp_path, capsys):
    """Return a function that runs the command on a perceptron, and returns its rows and what it printed."""
    monkeypatch.setattr(os, "environ", dict(os.environ))

    def run(*programs):
        small = ["--nets", "mlp", "--batch", "4", "--points", "4", "--output", str(tmp_path)]
        ahead.main(["cpu", *small, "--programs", *programs])
        return Rows(tmp_path / "rows-cpu.jsonl").read(), capsys.readouterr()

    return run


@pytest.mark.slow
def test_every_program_has_a_row_and_is_compiled_once(compile_for_cpu):
    """Programs are asked for by the beginning of their names; what is in the file is not compiled again."""
    rows, printed = compile_for_cpu("hvp")
    assert [(row["net"], row["program"]) for row in rows] == [("mlp", "hvp")]
    assert rows[0]["temporaries_mb"] > 0
    assert rows[0]["versions"]["jax"] == jax.__version__
    assert "| mlp | hvp |" in printed.out
    rows, printed = compile_for_cpu("hvp", "line, map")
    assert [row["program"] for row in rows] == ["hvp", "line, map"]
    assert printed.err.splitlines() == ["mlp: line, map"]
    # A scan asks for full precision in all of its products.
    assert {*rows[1]["precision"]} == {"highest"}


def test_what_does_not_compile_is_a_row(compile_for_cpu, monkeypatch):
    """It says why, and the next program is compiled."""

    def fails(*_, **__):
        raise NotImplementedError("no such kernel")

    monkeypatch.setattr(_ahead.probes.curvature, "trace", fails)
    rows, printed = compile_for_cpu("trace", "hvp")
    assert [row.get("error") for row in rows] == ["no such kernel", None]
    assert "| no such kernel |" in printed.out


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("name", ahead.NETS)
def test_plain_flax_has_the_same_weights(name):
    """Each net stands beside the same one as one writes it in Flax: as many weights of each shape."""
    net = _ahead.make_net(name)
    x = jax.ShapeDtypeStruct((2, *net.shape), jnp.float32)

    def shapes(model):
        params, batch_stats = jax.eval_shape(model.init, jax.eval_shape(lambda: jax.random.key(0)), x)
        return Counter(leaf.shape for leaf in jax.tree.leaves((params, batch_stats)))

    assert len(net.plain) == 2
    assert {name: shapes(model) for name, model in net.plain.items()} == dict.fromkeys(net.plain, shapes(net.ours))


@pytest.mark.thorough
def test_every_program_compiles(compile_for_cpu):
    """A scan that is spread over devices exchanges nothing between them but its start and its end."""
    rows, _ = compile_for_cpu("")
    assert {row["program"]: row["error"] for row in rows if "error" in row} == {}
    by_name = {row["program"]: row for row in rows}
    assert by_name["line, vmap"]["temporaries_mb"] > by_name["line, map"]["temporaries_mb"]
    assert by_name["line, 4 devices"]["repeated_collectives"] == 0


def test_bytes_are_those_of_operands_and_results():
    """A sum of two vectors reads both and writes one."""
    x = jnp.ones(1000)
    text = jax.jit(lambda x, y: x + y).lower(x, x).compile().as_text()
    assert _ahead.moved_bytes(text) == 3 * 4000
    text = "HloModule m\n\nENTRY e {\n  %a = bf16[2,3] parameter(0)\n  ROOT %t = (f32[], bf16[6]) fusion(%a), kind=kLoop\n}"
    assert _ahead.moved_bytes(text) == 12 + 4 + 12


def test_grouped_convolutions_precisions_and_collectives_are_counted():
    """They are read off the compiled text, in which groups of one are none."""

    class Compiled:
        def as_text(self):
            return (
                "HloModule m\n\nENTRY e {\n"
                "  %a = f32[4] convolution(%x, %k), feature_group_count=1, operand_precision={highest,highest}\n"
                "  %b = f32[4] convolution(%x, %k), feature_group_count=4\n"
                "  %c = f32[4] all-reduce(%b), to_apply=%sum\n}"
            )

        def memory_analysis(self):
            return type("Memory", (), {"temp_size_in_bytes": 2e6})

    found = _ahead.report(Compiled())
    assert found["grouped"] == 1
    assert found["precision"] == {"highest": 1, "default": 1}
    assert found["collectives"] == {"all-reduce": 1}
    assert found["temporaries_mb"] == 2


def test_nothing_compiled_is_said():
    """An empty file of rows has no table."""
    assert ahead.table([]) == "Nothing was compiled."


def test_of_a_loop_what_it_hands_on_counts_twice():
    """The bytes of its body do not, which the table says."""
    text = (
        "HloModule m\n\nENTRY e {\n  %a = f32[100] parameter(0)\n  %t = (s32[], f32[100]) tuple(%n, %a)\n"
        "  ROOT %w = (s32[], f32[100]) while(%t), condition=%more, body=%turn\n}"
    )
    assert _ahead.moved_bytes(text) == 2 * (4 + 400)


@pytest.mark.parametrize("target", ["h100", "v5e"])
def test_committed_tables_are_those_of_their_rows(target):
    """Each is written from the rows beside it, and says what its bytes count."""
    folder = ROOT / "experiments" / "benchmarks" / "compiled"
    text = (folder / f"table-{target}.md").read_text()
    assert text == ahead.table(Rows(folder / f"rows-{target}.jsonl").read()) + "\n"
    assert "What a loop carries from one iteration to the next counts twice." in text
