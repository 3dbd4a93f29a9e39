"""What `experiments.benchmarks.accelerator` measures and runs, in this order; imports nothing heavy.

What the command lines of experiments need, tyro, is imported only where their flags are read.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from experiments._command import catalogue
from experiments.benchmarks._rows import Row
from experiments.benchmarks._vgg import BATCH_SIZE, shapes

# The flag of an experiment's number of steps.
STEPS = {
    "training_curves": "--schedule.num-steps",
    "landscape": "--vgg.schedule.num-steps",
    "mameli": "--schedule.num-steps",
}
_LINEAR_STEPS = 200  # of the deep linear nets beside VGGs that are cut short, at most
# Scans ask for the highest precision; a training takes the device's own, which on a GPU rounds float32 to 10 bits.
_PRECISIONS = {"scan": "highest", "sweep": "default", "training": "default"}
# What is timed, the most important first; a later line once the earlier ones are done for every net.
WAYS = (
    (("training", "chunks"), ("scan", "map"), ("scan", "16")),
    (("scan", "16 products"), ("sweep", "vmap"), ("scan", "measured")),
    (
        *(("scan", way) for way in ("vmap", "4", "loop")),
        *(("sweep", way) for way in ("map", "4", "measured")),
        ("training", "calls"),
    ),
)


def rates(arguments: Any) -> list[Row]:
    """List the rates of the device, and convolutions that may not run on it; "shape" is side, inputs and features."""
    rows: list[Row] = [
        {"kind": "rate", "what": "matrix product", "dtype": dtype, "precision": precision}
        for dtype, precision in (("float32", "highest"), ("float32", "default"), ("bfloat16", "default"))
    ]
    rows.append({"kind": "rate", "what": "copy"})
    for side, inputs, features in (shape for width in arguments.widths for shape in shapes(width)):
        what = f"{side} x {side}, {inputs} to {features} channels"
        rows.append({"kind": "convolution", "what": what, "dtype": "bfloat16", "shape": [side, inputs, features]})
    return rows


def speed(arguments: Any) -> list[Row]:
    """List scans, sweeps and trainings of VGG-As in every way of batching."""
    return [
        {
            "kind": kind,
            "width": width,
            "batch": BATCH_SIZE,
            "dtype": dtype,
            "precision": _PRECISIONS[kind] if dtype == "float32" else "default",
            "batching": way,
        }
        for part in WAYS
        for width in arguments.widths
        for dtype in arguments.dtypes
        for kind, way in part
    ]


SECTIONS = {"rates": rates, "speed": speed}


class Stage(NamedTuple):
    """An experiment, one of its presets, and the number of steps of its VGGs, None for all."""

    name: str
    preset: str
    length: int | None

    @property
    def what(self) -> str:
        """Its name in a table."""
        return f"{self.name}, preset {self.preset}, {f'{self.length:,}' if self.length else 'all'} steps"

    @property
    def flags(self) -> list[str]:
        """Arguments of the experiment; where it is cut short, its deep linear nets are one draw and a few steps."""
        words = ["--preset", self.preset]
        if self.length:
            words += [STEPS[self.name], str(self.length)]
            if hasattr(catalogue.module(self.name).PRESETS[self.preset], "deep_linear"):
                steps = min(self.length, _LINEAR_STEPS)
                words += ["--deep-linear.schedule.num-steps", str(steps), "--deep-linear.seeds", "0"]
        return words

    def runs(self) -> list[Any]:
        """List the configurations of its nets."""
        from experiments._command import arguments as command_arguments

        presets = catalogue.module(self.name).PRESETS
        return _runs(self.name, command_arguments.parse(self.name, "", presets, self.flags)[1])

    def beside(self) -> str:
        """Describe what it trains beside VGGs, and what it measures for other experiments; empty if nothing."""
        from experiments._command import cli

        runs = self.runs()
        nets, linear = {run.identity() for run in runs}, [run for run in runs if run.kind == "deep_linear"]
        others = [
            name
            for name, preset in cli.beside(self.name, self.preset)
            if nets & {run.identity() for run in _runs(name, catalogue.module(name).PRESETS[preset])}
        ]
        parts = [f"with what {', '.join(others)} measure of the same nets"] if others else []
        steps = sorted({run.schedule.num_steps for run in linear})
        draws = sum(len(run.seeds) for run in linear)
        parts += [f"{draws} deep linear nets of {', '.join(f'{n:,}' for n in steps)} steps"] if linear else []
        return "; ".join(parts)


def stages(arguments: Any) -> Iterator[Stage]:
    """List experiments, presets and lengths in the order in which they run; not each experiment has each preset."""
    for preset in arguments.presets:
        for length in (*arguments.lengths, None):
            for name in arguments.experiments:
                if preset in catalogue.module(name).PRESETS:
                    yield Stage(name, preset, length)


def data_sets(planned: Iterable[Stage]) -> set[str]:
    """Name the data sets of images that stages read."""
    return {run.data.dataset for stage in planned for run in stage.runs() if hasattr(run, "data")}


def _runs(name: str, config: Any) -> list[Any]:
    """List the configurations of an experiment's nets."""
    return [run for arms in catalogue.module(name).groups(config).values() for run in arms.values()]
