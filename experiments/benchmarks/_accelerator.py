"""What `experiments.benchmarks.accelerator` measures in a process of its own: rates of the device, and speed of bnjax on it.

Each row is written as soon as it is measured. One that fails, or for which no time is left, is written with the reason.
"""

import functools
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bnjax import probes
from bnjax._host.output import one_line
from bnjax.ops import conv_general_dilated
from bnjax.runs import provenance
from experiments.benchmarks import _plan, conv, scan, sweep, training
from experiments.benchmarks._rows import NO_TIME, Rows, by_machine
from experiments.benchmarks._timing import copy_rate, matrix_rate, measure
from experiments.benchmarks._vgg import BATCH_SIZE, useful_operations
from experiments.benchmarks.accelerator import parse

_STEP_SIZES = (0.0, 0.4)
_ROW_SECONDS = 3.0  # a program that has taken as long is not run again


class Row(NamedTuple):
    """Something to measure.

    Attributes:
        about: what it is, by name.
        run: measures it, and returns numbers by name.
    """

    about: dict[str, Any]
    run: Callable[[], dict[str, Any]]


def record(rows: Iterable[Row], file: Rows, until: float, clock: Callable[[], float] = time.time) -> None:
    """Measure rows in turn and write each at once; those for which no time is left are written as such.

    Args:
        rows: to measure.
        file: to which they are written.
        until: the time, as `clock` tells it, after which no row begins; the start of the process and of its device count.
        clock: tells the time in seconds, by default since 1970.
    """
    for row in rows:
        start, values = clock(), {"error": NO_TIME}
        if start < until:
            try:
                values = row.run()
            except Exception as error:  # NOTE: of any type; what fails here is a result, and the next row may not
                values = {"error": one_line(error)[:300]}
        file.add(**row.about, **values, seconds=round(clock() - start, 3))


def rates(arguments: Any) -> Iterator[Row]:
    """List the rates of the device, and convolutions that may not run on it."""
    sizes = arguments.matrix_sizes
    num_bytes = 4 * max(sizes) ** 2 if sizes else None
    for about in _plan.rates(arguments):
        if about["kind"] == "convolution":
            yield Row(about, partial(_convolve, tuple(about["shape"])))
        elif about["what"] == "copy":
            yield Row(about, lambda: {"bytes_per_second": copy_rate(num_bytes)})
        else:
            yield Row(about, partial(_matrix_rate, about["dtype"], about["precision"], sizes))


def _matrix_rate(dtype: str, precision: str, sizes: list[int]) -> dict[str, float]:
    """Measure matrix products in a precision."""
    with jax.default_matmul_precision(precision):
        return {"operations_per_second": matrix_rate(jnp.dtype(dtype), sizes)}


def _convolve(shape: tuple[int, int, int]) -> dict[str, float]:
    """Run a convolution in bfloat16, forward and backward, and compare it with one in float32."""
    side, inputs, features = shape
    sizes = ((BATCH_SIZE, side, side, inputs), (3, 3, inputs, features), (BATCH_SIZE, side, side, features))
    exact = [jax.random.normal(jax.random.key(i), size) for i, size in enumerate(sizes)]

    def both(*arrays: jax.Array) -> tuple[jax.Array, ...]:
        return *conv.forward(conv_general_dilated, *arrays), *conv.backward(conv_general_dilated, *arrays)

    program, rounded = jax.jit(both), [array.astype(jnp.bfloat16) for array in exact]
    with jax.default_matmul_precision("highest"):
        expected = jax.jit(both)(*exact)
    found = [array.astype(jnp.float32) for array in program(*rounded)]
    errors = [
        float(jnp.linalg.norm(ours - theirs) / jnp.linalg.norm(theirs))
        for ours, theirs in zip(found, expected, strict=True)
    ]
    if not all(error < 0.05 for error in errors):  # of no number either, which max may overlook
        worst = float(np.max(errors))
        raise ArithmeticError(f"in bfloat16 it is {worst:.2g} of its length away from float32")
    milliseconds = measure({"both": partial(program, *rounded)}, rounds=3)["both"]
    operations = 3 * 2 * BATCH_SIZE * side**2 * 9 * inputs * features
    return {"relative_error": max(errors), "operations_per_second": operations / milliseconds * 1000}


def speed(arguments: Any) -> Iterator[Row]:
    """List scans, sweeps and trainings of VGG-As in every way of batching."""
    machines = by_machine(arguments.rows.read())
    best = {
        (row["dtype"], row["precision"]): row["operations_per_second"]
        for row in (machines[0][1] if machines else [])
        if row.get("what") == "matrix product" and "operations_per_second" in row
    }
    for about in _plan.speed(arguments):
        rate = best.get((about["dtype"], about["precision"]))
        names = ("kind", "width", "dtype", "batching")
        yield Row(about, partial(_time, arguments, *(about[name] for name in names), rate))


def _time(arguments: Any, kind: str, width: float, dtype: str, way: str, rate: float | None) -> dict[str, Any]:
    """Time a scan, a sweep or a training: what it does in a second, and its share of the fastest matrix product."""
    sizes = Sizes(arguments.points, arguments.runs, arguments.steps)
    program, num = _PROGRAMS[kind](sizes, width, dtype)[way]
    start = time.perf_counter()
    for _ in range(scan.CALLS_OF_A_MEASUREMENT if (kind, way) == ("scan", "measured") else 1):  # a sweep takes one
        jax.block_until_ready(program())
    first = time.perf_counter() - start
    seconds = measure({way: program}, rounds=arguments.rounds, seconds=_ROW_SECONDS)[way] / 1000
    operations = useful_operations(width, gradients=True) * num / seconds
    values = {"images_per_second": num * BATCH_SIZE / seconds, "seconds_before": round(first, 3)}
    values |= {"points_per_second": num / seconds} if kind == "scan" else {"steps_per_second": num / seconds}
    return values | ({"share": operations / rate} if rate else {}) | _found(kind, way)


def _found(kind: str, way: str) -> dict[str, Any]:
    """Return what was measured last, where that is the way of batching."""
    latest = probes.measured_batching()[-1:] if way == "measured" else []
    return {"found": latest[0]._asdict()} if latest else {}


class Sizes(NamedTuple):
    """How much a call does."""

    points: int
    runs: int
    steps: int


# Programs by way of batching, with the number of points, or of steps of all runs, in a call.
Programs = dict[str, tuple[Callable[[], object], int]]


@functools.cache
def _scans(sizes: Sizes, width: float, dtype: str) -> Programs:
    """Make the scans of a net; each compiles when it is called."""
    steps = np.linspace(*_STEP_SIZES, sizes.points)
    ways = [way for part in _plan.WAYS for kind, way in part if kind == "scan"]
    made = scan.scan_programs(width, steps, True, ways, training.PRECISIONS[dtype])
    return {name.removeprefix("bnjax, "): (program, sizes.points) for name, program in made.items()}


@functools.cache
def _sweeps(sizes: Sizes, width: float, dtype: str) -> Programs:
    """Make the sweeps of a net."""
    ways = [way for part in _plan.WAYS for kind, way in part if kind == "sweep"]
    made = sweep.make_programs("vgg", width, sizes.runs, sizes.steps, ways, training.PRECISIONS[dtype])
    num = sizes.runs * sizes.steps
    return {name.removeprefix("grid, "): (program, num) for name, program in made.items()}


@functools.cache
def _trainings(sizes: Sizes, width: float, dtype: str) -> Programs:
    """Make the trainings of a net."""
    made = training.jax_programs(width, sizes.steps, _split(), [dtype])
    return {name.rpartition(", ")[-1]: (program, sizes.steps) for name, program in made.items()}


_split = functools.cache(training.make_split)
_PROGRAMS = {"scan": _scans, "sweep": _sweeps, "training": _trainings}
_SECTIONS = {"rates": rates, "speed": speed}


def main(section: str, options: list[str]) -> None:
    """Measure one section; that of the machine starts its device, and writes what it is."""
    arguments = parse(options)
    if section == "machine":
        about = {"kind": "machine", "platform": jax.default_backend(), **provenance()}
        if about["platform"] == "cpu" and not arguments.cpu:
            sys.exit(
                "error: the backend must be an accelerator, got cpu. Install what drives it: pip install 'bnjax[cuda12]', "
                "'bnjax[cuda13]' or 'bnjax[tpu]'; or measure the CPU: --cpu"
            )
        jax.block_until_ready(jnp.ones(8) + 1)
        arguments.rows.add(**about)
    else:
        record(_SECTIONS[section](arguments), arguments.rows, arguments.until)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
