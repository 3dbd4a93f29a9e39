"""LSTMs on the rows of MNIST images, with layer norm, with batch norm, and without: accuracy, and gradients through time.

Claim: normalised LSTMs learn faster; batch norm needs statistics of each time step and a small initial scale, so that gradients
do not vanish over time; where mini-batches are small, layer norm is better.
Source: Cooijmans et al. 2016, on sequences of single pixels, for batch norm; Ba, Kiros & Hinton 2016 for layer norm; Huber 2020
and the article "Batch normalization vs internal covariate shift" say that layer norm is better in recurrent nets. No source has
numbers for sequences of rows.
Command: TFDS_DATA_DIR=... python -m experiments recurrent --preset cpu
Measured: preset cpu, three seeds, two cores beside much other work, 54 minutes, 10,000 images: with mini-batches of 128 test
accuracy 95.7 % with batch norm (initial scale 0.1), 94.3 % with layer norm, 92.8 % without; with mini-batches of 4 79.0 %,
91.2 % and 90.4 %. Presets overnight and paper have not been run.
"""

from dataclasses import dataclass
from typing import Any

from experiments._config import (
    Images,
    LayerNorm,
    LSTMRun,
    NoNorm,
    RunConfig,
    Schedule,
    change,
    check_arms,
    check_numbers,
)
from experiments._evidence.keep import IfMeasured
from experiments._nets import Setting


@dataclass(frozen=True)
class Config:
    """An LSTM that is trained with mini-batches of several sizes.

    Attributes:
        small: the run with small mini-batches.
        large: the run with large mini-batches.
        between: further mini-batch sizes, trained for and tested after as many examples as the large mini-batches.
        scales: initial scales of the normalisers; they replace the models'.
        shared: the subset from which batch norm is also trained with shared statistics.
    """

    small: LSTMRun
    large: LSTMRun
    between: tuple[int, ...] = ()
    scales: tuple[float, ...] = (0.1, 1.0)
    shared: tuple[float, ...] = (0.1, 1.0)

    def __post_init__(self):
        largest = self.large.optimizer.batch_size
        rule = f"none, or different numbers from 1 to {largest}, the large mini-batch"
        if self.between:
            check_numbers(self, rule, lambda x: 1 <= x <= largest, "between")
        rule = "one or more different numbers > 0 and finite"
        check_numbers(self, rule, lambda x: 0 < x < float("inf"), "scales")
        check_arms(self, "scales")
        rule = f"one or more different ones of the scales, {', '.join(f'{scale:g}' for scale in self.scales)}"
        check_numbers(self, rule, lambda x: x in self.scales, "shared")


def _trained(batch_size: int, num_steps: int, every: int, **changes: Any) -> LSTMRun:
    """Make a run at a mini-batch size, tested and measured at a fixed interval of steps."""
    run = change(LSTMRun(seeds=(0, 1, 2)), optimizer={"batch_size": batch_size}, **changes)
    return change(run, schedule=Schedule(num_steps, every, every)).measuring("hidden_gradients")


_PART = {"data": {"subset": 10_000}}
_TINY = {
    "data": Images("digits", "unit"),
    "model": {"features": 8, "recorded_steps": 8},
    "seeds": (0,),
}
PRESETS = {
    # 2 and 10 epochs of 10,000 images.
    "cpu": Config(_trained(4, 5_000, 1_000, **_PART), _trained(128, 780, 52, **_PART), shared=(0.1,)),
    "smoke": Config(
        _trained(4, 20, 10, **_TINY), _trained(128, 20, 10, **_TINY), between=(16,), scales=(0.1,), shared=(0.1,)
    ),
    # 2 and 10 epochs of 60,000 images.
    "overnight": Config(_trained(4, 30_000, 1_500), _trained(128, 4_690, 134), between=(16,)),
    "paper": Config(
        _trained(4, 300_000, 15_000, seeds=tuple(range(10))),
        _trained(128, 46_900, 469, seeds=tuple(range(10))),
        between=(16,),
    ),
}
NORMS = ("layer_norm", "batch_norm", "shared_batch")


def setting(scale: float, batch_size: int | None = None) -> Setting:
    """Return the setting for an initial scale, and for a mini-batch size in groups that have several."""
    size, words = ("", "") if batch_size is None else (f"{batch_size}_", f"batch {batch_size}, ")
    return Setting(f"{size}{scale:g}", f"{words}scale {scale:g}")


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name the nets of each mini-batch size: the plain one, and those with a normaliser by initial scale."""
    found = {"small": _nets(config, config.small), "large": _nets(config, config.large)}
    between = [_nets(config, _resized(config.large, size), size) for size in config.between]
    return found | ({"between": {name: run for nets in between for name, run in nets.items()}} if between else {})


def _nets(config: Config, run: LSTMRun, size: int | None = None) -> dict[str, RunConfig]:
    """Name the nets that differ from a run in their normaliser alone."""
    nets = {"plain" if size is None else f"plain_{size}": change(run, norm=NoNorm())}
    for scale in config.scales:
        at, normalised = setting(scale, size), change(run, model={"norm_scale": scale, "statistics": "per_step"})
        nets[at.arm("layer_norm")] = change(normalised, norm=LayerNorm(layers=run.norm.layers))
        nets[at.arm("batch_norm")] = normalised
        if scale in config.shared:
            nets[at.arm("shared_batch")] = change(normalised, model={"statistics": "shared"})
    return nets


def _resized(run: LSTMRun, batch_size: int) -> LSTMRun:
    """Change the mini-batch size of a run, and train for, test and measure after as many examples as before."""
    schedule, factor = run.schedule, run.optimizer.batch_size // batch_size
    steps = Schedule(factor * schedule.num_steps, factor * schedule.eval_every, factor * schedule.probe_every)
    return change(run, optimizer={"batch_size": batch_size}, schedule=steps)


def _ends(record: Any, _rank: int) -> dict[str, Any]:
    """Keep the first and the last measurement, to five digits."""
    ends = slice(None, None, max(1, len(record["step"]) - 1)) if record.get("step") else slice(0)
    norms = [[None if norm is None else float(f"{norm:.5g}") for norm in row] for row in record.get("norm", [])[ends]]
    return {"step": record.get("step", [])[ends], "norm": norms}


_KEPT = {"hidden_gradients": _ends}
KEEP = {"small": _KEPT, "large": _KEPT, "between": IfMeasured(_KEPT)}
