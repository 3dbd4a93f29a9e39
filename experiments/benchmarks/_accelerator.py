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
from experiments.benchmarks import conv, scan, sweep, training
from experiments.benchmarks._timing import copy_rate, matrix_rate, measure
from experiments.benchmarks._vgg import BATCH_SIZE, useful_operations
from experiments.benchmarks.accelerator import Rows, parse

_STEP_SIZES = (0.0, 0.4)
_ROW_SECONDS = 3.0  # a program that has taken as long is not run again
# Scans ask for the highest precision; a training takes the device's own, which on a GPU rounds float32 to 10 bits.
_PRECISIONS = {"scan": "highest", "sweep": "default", "training": "default"}
# What is timed, the most important first; the second half once the first is done for every net.
_FIRST = (
    ("training", "chunks"),
    *(("scan", way) for way in ("map", "16", "16 products")),
    ("sweep", "vmap"),
    ("scan", "measured"),
)
_SECOND = (
    *(("scan", way) for way in ("vmap", "4", "loop")),
    *(("sweep", way) for way in ("map", "4", "measured")),
    ("training", "calls"),
)


class Row(NamedTuple):
    """Something to measure.

    Attributes:
        about: what it is, by name.
        run: measures it, and returns numbers by name.
    """

    about: dict[str, Any]
    run: Callable[[], dict[str, Any]]


def record(rows: Iterable[Row], file: Rows, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
    """Measure rows in turn and write each at once; those for which no time is left are written as such."""
    deadline = clock() + seconds
    for row in rows:
        start, values = clock(), {"error": "no time was left"}
        if start < deadline:
            try:
                values = row.run()
            except Exception as error:  # NOTE: of any type; what fails here is a result, and the next row may not
                values = {"error": one_line(error)[:300]}
        file.add(**row.about, **values, seconds=round(clock() - start, 3))


def rates(arguments: Any) -> Iterator[Row]:
    """List the rates of the device, and convolutions that may not run on it."""
    sizes = arguments.matrix_sizes
    for dtype, precision in (("float32", "highest"), ("float32", "default"), ("bfloat16", "default")):
        about = {"kind": "rate", "what": "matrix product", "dtype": dtype, "precision": precision}
        yield Row(about, partial(_matrix_rate, dtype, precision, sizes))
    num_bytes = 4 * max(sizes) ** 2 if sizes else None
    yield Row({"kind": "rate", "what": "copy"}, lambda: {"bytes_per_second": copy_rate(num_bytes)})
    for width in arguments.widths:
        for shape in conv.shapes(width):
            side, inputs, features = shape
            what = f"{side} x {side}, {inputs} to {features} channels"
            yield Row({"kind": "convolution", "what": what, "dtype": "bfloat16"}, partial(_convolve, shape))


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
    if not max(errors) < 0.05:
        raise ArithmeticError(f"in bfloat16 it is {max(errors):.2g} of its length away from float32")
    milliseconds = measure({"both": partial(program, *rounded)}, rounds=3)["both"]
    operations = 3 * 2 * BATCH_SIZE * side**2 * 9 * inputs * features
    return {"relative_error": max(errors), "operations_per_second": operations / milliseconds * 1000}


def speed(arguments: Any) -> Iterator[Row]:
    """List scans, sweeps and trainings of VGG-As in every way of batching."""
    best = {
        (row["dtype"], row["precision"]): row["operations_per_second"]
        for row in arguments.rows.read()
        if row.get("what") == "matrix product" and "operations_per_second" in row
    }
    for half in (_FIRST, _SECOND):
        for width in arguments.widths:
            for dtype in arguments.dtypes:
                for kind, way in half:
                    precision = _PRECISIONS[kind] if dtype == "float32" else "default"
                    about = {"kind": kind, "width": width, "batch": BATCH_SIZE, "dtype": dtype, "precision": precision}
                    run = partial(_time, arguments, kind, width, dtype, way, best.get((dtype, precision)))
                    yield Row({**about, "batching": way}, run)


def _time(arguments: Any, kind: str, width: float, dtype: str, way: str, rate: float | None) -> dict[str, Any]:
    """Time a scan, a sweep or a training: what it does in a second, and its share of the fastest matrix product."""
    sizes = Sizes(arguments.points, arguments.runs, arguments.steps)
    program, num = _PROGRAMS[kind](sizes, width, dtype)[way]
    start = time.perf_counter()
    for _ in range(scan.CALLS_OF_A_MEASUREMENT if way == "measured" else 1):
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
    ways = [way for kind, way in (*_FIRST, *_SECOND) if kind == "scan"]
    made = scan.scan_programs(width, steps, True, ways, training.PRECISIONS[dtype])
    return {name.removeprefix("bnjax, "): (program, sizes.points) for name, program in made.items()}


@functools.cache
def _sweeps(sizes: Sizes, width: float, dtype: str) -> Programs:
    """Make the sweeps of a net."""
    ways = [way for kind, way in (*_FIRST, *_SECOND) if kind == "sweep"]
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
    """Measure one section."""
    arguments = parse(options)
    arguments.rows.add(kind="machine", section=section, platform=jax.default_backend(), **provenance())
    record(_SECTIONS[section](arguments), arguments.rows, getattr(arguments, f"{section}_seconds"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
