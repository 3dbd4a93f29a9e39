"""What a run costs besides its steps: measurements at their intervals, and checkpoints at the default one.

Command: python -m experiments.benchmarks.overhead --preset cpu

For the nets of two experiments, as a preset has them: the time of steps in a compiled chunk, of each measurement that any
experiment of the preset asks of this net, of tests, and of a checkpoint, and what share of the steps' time each of them adds at
its interval; then that of all measurements together, which share what they have in common. Images are noise of the size of the
data set's; nothing that is timed depends on what they show.

All are timed in turn in one process.

Measured: preset cpu on two CPU cores (2026-11-21, jax 0.10.2), beside other work: checkpoints every 20 seconds add 1.1 % to the
VGG's steps and 0.5 % to the perceptron's; the VGG's three measurements every 50 steps 14 to 16 % each, its tests 9 %; the
perceptron's percentiles every 100 steps 37 %, its tests 15 %. Preset paper, the full net, quiet, two rounds of 6 steps: scans
every 100 steps 5.1 % along the gradient and 6.2 % along a random direction, successive gradients 3.5 %, tests 2.6 %; a
checkpoint takes 581 ms, 2.9 % if it were taken every 20 seconds, so that it is taken every 29.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bnjax import train
from bnjax._host.cores import count_cores
from bnjax.data import Dataset, Split
from bnjax.runs import Checkpoints
from experiments import landscape, mnist_mlp
from experiments._command import catalogue
from experiments._config import Options, RunConfig
from experiments._config.probes import Probe as Settings
from experiments._training.asked import log_name
from experiments._training.evaluation import evaluate
from experiments._training.tasks import make_task
from experiments.benchmarks._arguments import positive
from experiments.benchmarks._timing import measure

_SHAPES = {"cifar10": (50_000, 32, 32, 3), "mnist": (60_000, 28, 28, 1), "digits": (1_500, 32, 32, 1)}
_TESTS = 10_000
TOGETHER = "measured together"  # what they share, such as the step about to be taken, is computed once


def make_dataset(config: Any) -> Dataset:
    """Draw noise of the size of a configuration's data set."""
    num, *shape = _SHAPES[config.data.dataset]
    rng, scale = np.random.default_rng(0), jnp.full(shape[-1], 1 / 255)

    def split(num: int) -> Split:
        images, labels = rng.integers(0, 256, (num, *shape), np.uint8), rng.integers(0, 10, num, np.int32)
        return Split(jnp.asarray(images), jnp.asarray(labels), scale, 0 * scale)

    return Dataset(split(num), split(_TESTS))


def asked_of(config: RunConfig, preset: str) -> dict[str, tuple[Settings, int]]:
    """List what the experiments of a preset ask of a net, each with the steps between two measurements; named as in a log."""
    found: dict[str, tuple[Settings, int]] = {}
    for module in map(catalogue.module, catalogue.names()):
        if preset in module.PRESETS and hasattr(module, "groups"):
            for run in (run for arms in module.groups(module.PRESETS[preset]).values() for run in arms.values()):
                if run.net() == config.net():
                    used = [settings.used(run) for settings in run.probes]
                    found |= {log_name(settings): (settings, run.schedule.probe_every) for settings in used}
    return found


def make_programs(
    config: RunConfig, asked: dict[str, tuple[Settings, int]], num_steps: int, folder: Path
) -> tuple[dict[str, Callable[[], object]], dict[str, float]]:
    """Make what is timed: so many steps, then everything else; and say how many steps lie between two of each of the latter."""
    task, dataset = make_task(config.net(), None), make_dataset(config)
    state = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, *dataset.train.images.shape[1:])))
    checkpoints, saved = Checkpoints(folder), iter(range(10**9))

    def steps() -> object:
        return train.run_steps(task.stepper, jax.tree.map(jnp.copy, state), dataset.train, num_steps=num_steps)

    programs: dict[str, Callable[[], object]] = {f"{num_steps} steps": steps}
    intervals: dict[str, float] = {}
    made = {name: task.make_probe(settings) for name, (settings, _) in asked.items()}
    often = min((every for _, every in asked.values()), default=1)

    def measured(*names: str) -> Callable[[], object]:
        def run() -> object:
            here = state.replace()  # another object, of which no probe has computed anything yet
            data = {"train": dataset.train, "test": dataset.test, None: dataset}
            return [made[name].measure(here, data[made[name].split]) for name in names]

        return run

    for name, (_, every) in asked.items():
        programs[name], intervals[name] = measured(name), every
    programs[TOGETHER] = measured(*(name for name, (_, every) in asked.items() if every == often))
    intervals[TOGETHER] = often
    programs["test"] = lambda: evaluate(config, task.stepper, state, dataset, recalibrated=False)
    intervals["test"] = config.schedule.eval_every
    if config.schedule.recalibrated_tests and config.norm.is_recalibrated:
        programs["recalibrated test"] = lambda: evaluate(config, task.stepper, state, dataset, recalibrated=True)
        intervals["recalibrated test"] = config.schedule.eval_every
    programs["checkpoint"] = lambda: checkpoints.save(next(saved), state)
    return programs, intervals


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.overhead", description=__doc__)
    parser.add_argument(
        "--preset", choices=["cpu", "overnight", "paper", "smoke"], default="cpu", help="(default: cpu)"
    )
    parser.add_argument(
        "--steps", type=positive(int), help="that are timed together (default: those between measurements)"
    )
    parser.add_argument("--only", choices=["vgg", "mlp"], help="one of the two nets")
    parser.add_argument("--rounds", type=positive(int), default=5, help="runs of each row (default: 5)")
    arguments = parser.parse_args()
    nets = {
        "landscape's VGG": landscape.PRESETS[arguments.preset].vgg,
        "MNIST's perceptron": mnist_mlp.PRESETS[arguments.preset].ioffe,
    }
    if arguments.only:
        nets = {net: config for net, config in nets.items() if config.kind == arguments.only}
    interval = Options().checkpoint_seconds
    print(f"Preset {arguments.preset}, on {jax.devices()[0].device_kind}, {count_cores()} cores\n")
    print(f"{'':24}{'':24}{'ms':>10}{'of the steps':>14}")
    for net, config in nets.items():
        with tempfile.TemporaryDirectory() as folder:
            num_steps = arguments.steps or config.schedule.probe_every
            asked = asked_of(config, arguments.preset)
            programs, intervals = make_programs(replace(config, seeds=(0,)), asked, num_steps, Path(folder))
            measure(programs, rounds=1, seconds=600)
            times = measure(programs, rounds=arguments.rounds, seconds=60)
        (chunk, first), *rest = times.items()
        print(f"{net:24}{chunk:24}{first:10.1f}", flush=True)
        shares: dict[str, float] = {}
        for name, milliseconds in rest:
            between = first / num_steps * intervals[name] if name in intervals else 1000 * interval
            shares[name] = milliseconds / between
            print(f"{'':24}{name:24}{milliseconds:10.1f}{shares[name]:14.2%}", flush=True)
        rarer = sum(shares[name] for name in asked if intervals[name] > intervals[TOGETHER])
        print(f"{'':24}{'with rarer ones':34}{shares[TOGETHER] + rarer:14.2%}", flush=True)


if __name__ == "__main__":
    main()
