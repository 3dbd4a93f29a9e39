"""The convolution of bnjax against JAX's own, at every shape of a VGG: forward and backward, in a scan and out of one.

Command: python -m experiments.benchmarks.conv --width 0.25
Measured: on two CPU cores, in a minute at a quarter of the width. JAX's time over ours, all shapes together: backward in a scan
70, forward 1.4, most of it from 2x2 maps, backward outside a scan 1.1, of which single shapes are between 0.5 (maps of 32x32
with 16 channels) and 1.9 except for the 2x2 maps.

Backward is both gradients. Both sides run in turn in one process; each time is the median of 7 runs, or of as many as fit
into a few seconds. Only the ratios mean something: a machine that is shared changes its speed from minute to minute.
"""

import argparse
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from bnjax.ops import conv_general_dilated
from experiments.benchmarks._arguments import positive
from experiments.benchmarks._timing import measure
from experiments.benchmarks._vgg import shapes

_SCAN_LENGTH = 2

Convolution = Callable[..., Array]


def forward(convolve: Convolution, x: Array, k: Array, _dy: Array) -> tuple[Array, ...]:
    """Convolve."""
    return (convolve(x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")),)


def backward(convolve: Convolution, x: Array, k: Array, dy: Array) -> tuple[Array, ...]:
    """Take both gradients; the value is not used, and XLA drops it."""
    return jax.vjp(lambda x, k: forward(convolve, x, k, dy)[0], x, k)[1](dy)


def scanned(step: Callable[..., tuple[Array, ...]], x: Array, k: Array, dy: Array) -> Array:
    """Repeat a step in a compiled loop in which each repetition needs the last one's result, all of it."""

    def body(total: Array, _: None) -> tuple[Array, None]:
        results = step(x + total, k + total, dy + total)
        return 1e-20 * jnp.stack([jnp.sum(result) for result in results]).sum(), None

    return lax.scan(body, jnp.zeros(()), None, length=_SCAN_LENGTH)[0]


def compare(step: Callable[..., tuple[Array, ...]], operands: tuple[Array, ...], in_scan: bool) -> tuple[float, float]:
    """Time one step of JAX's convolution and of ours, in milliseconds."""
    programs = {}
    for name, convolve in (("jax", lax.conv_general_dilated), ("bnjax", conv_general_dilated)):
        once = partial(step, convolve)
        program = jax.jit(partial(scanned, once) if in_scan else once).lower(*operands).compile()
        programs[name] = partial(program, *operands)
    if not in_scan:
        for program in programs.values():
            jax.block_until_ready(program())  # the first run of a process warms its threads up
    times = measure(programs)
    steps = _SCAN_LENGTH if in_scan else 1
    return times["jax"] / steps, times["bnjax"] / steps


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.conv", description=__doc__)
    parser.add_argument("--width", type=positive(float), default=0.25, help="of the VGG (default: 0.25)")
    parser.add_argument("--batch-size", type=positive(int), default=128, help="images (default: 128)")
    arguments = parser.parse_args()

    kind = jax.devices()[0].device_kind
    print(f"VGG, {arguments.width:g} of its width, batches of {arguments.batch_size}, on {kind}")
    print("milliseconds of JAX's convolution / of bnjax's = times faster\n")
    columns = [(step, in_scan) for step in (forward, backward) for in_scan in (False, True)]
    titles = [f"{step.__name__}{', in a scan' if in_scan else ''}" for step, in_scan in columns]
    print(f"{'map, channels':20}" + "".join(f"{title:>30}" for title in titles))
    totals = [[0.0, 0.0] for _ in columns]
    for side, c, f in shapes(arguments.width):
        keys = jax.random.split(jax.random.key(0), 3)
        sizes = ((arguments.batch_size, side, side, c), (3, 3, c, f), (arguments.batch_size, side, side, f))
        operands = tuple(jax.random.normal(key, size) for key, size in zip(keys, sizes, strict=True))
        cells = []
        for column, (step, in_scan) in enumerate(columns):
            theirs, ours = compare(step, operands, in_scan)
            totals[column] = [totals[column][0] + theirs, totals[column][1] + ours]
            cells.append(_cell(theirs, ours))
        print(f"{f'{side}x{side}, {c} -> {f}':20}" + "".join(cells), flush=True)
    print(f"{'all of these':20}" + "".join(_cell(theirs, ours) for theirs, ours in totals))


def _cell(theirs: float, ours: float) -> str:
    """Write two times and their ratio."""
    return f"{f'{theirs:.1f} / {ours:.1f} = {theirs / ours:.1f}':>30}"


if __name__ == "__main__":
    main()
