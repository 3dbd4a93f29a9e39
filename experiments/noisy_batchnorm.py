"""Batch norm whose outputs are disturbed by noise that changes at every step, and the same noise on the plain net.

Claim: noise that makes the distributions of activations less stable than in the plain net hardly hurts training with batch
norm, and stops the plain net from training.
Source: Santurkar et al. 2018, Sec. 2.1, Fig. 2 and 8, Algorithm 1. The noise in units of each unit's standard deviation, for
nets whose activations are small beside it, is a control of ours.
Command: TFDS_DATA_DIR=... python -m experiments noisy_batchnorm --preset cpu
Measured: preset cpu, three seeds, two cores, 19 minutes: after 1,000 steps training accuracy
59 % with BN, 55 % with noisy BN, 39 % without, 23 % with noise and no BN, 35 % with noise in units of each unit's standard
deviation. Preset paper waits for an accelerator.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments._arms import CPU, PAPER, SMOKE, arm, with_and_without
from experiments._config import Options, RunConfig, VGGRun, check_numbers


@dataclass(frozen=True)
class Config(VGGRun):
    """A VGG with noise of several strengths.

    Attributes:
        noise_strengths: beside `noise_strength`, those with which the noisy nets are trained from the first seed alone.
    """

    noise_strengths: tuple[float, ...] = (0.5, 2.0, 4.0)

    def __post_init__(self):
        super().__post_init__()
        rule = f"one or more different numbers >= 0 and finite, none of them {self.noise_strength:g}"
        check_numbers(self, rule, lambda x: 0 <= x < float("inf") and x != self.noise_strength, "noise_strengths")


_PROBES: dict[str, Any] = {"probes": ("landscape", "drift"), "drift_layers": (3, 8, 10)}

PRESETS = {
    "cpu": Config(**CPU, **_PROBES),
    "smoke": Config(**SMOKE, **_PROBES, noise_strengths=(4.0,)),
    "paper": Config(**{**PAPER, **_PROBES, "drift_layers": (2, 9, 12)}, seeds=(0, 1, 2)),
}

NOISY = ("noisy_batch", "noise", "relative_noise")


def arms(config: Config) -> dict[str, RunConfig]:
    """Name the nets with noise of the usual strength, and without noise."""
    return {**with_and_without(config), **{norm: arm(config, norm=norm) for norm in NOISY}}


def sweep(config: Config) -> dict[str, RunConfig]:
    """Name the nets with noise of other strengths, trained from one seed."""
    return {
        f"{norm}_{strength:g}": arm(config, norm=norm, noise_strength=strength, probes=(), seeds=config.seeds[:1])
        for norm in NOISY
        for strength in config.noise_strengths
    }


def run(config: Config, options: Options, _folder: Path) -> dict[str, Any]:
    """Train every net; return the data of the figure."""
    from experiments._training import train_all

    data = train_all({"arms": arms(config), "sweep": sweep(config)}, options)
    for group, max_points in (("arms", 250), ("sweep", 100)):
        for runs in data[group].values():
            runs[:] = [_published(found, config, max_points) for found in runs]
    return data


def _published(found: dict[str, Any], config: Config, max_points: int) -> dict[str, Any]:
    """Take what is drawn and judged of a run: accuracy, and shifts from one measurement to the next."""
    from experiments._numbers import curves
    from experiments._numbers import drift as drift_numbers

    kept = {name: found[name] for name in ("seed", "test", "diverged_at", "seconds")}
    kept["train"] = curves.coarser(found["train"], max_points)
    if "drift" in found:
        kept["drift"] = drift_numbers.published(found["drift"], [f"layer_{layer}" for layer in config.drift_layers])
        for layer in kept["drift"]["layers"].values():
            layer.pop("cumulative", None)
    return kept


def by_strength(data: dict[str, Any]) -> dict[str, dict[float, list[dict[str, Any]]]]:
    """Sort the runs of each kind of noise by its strength, ascending; of strength 0 they are those without noise."""
    usual = data["config"]["noise_strength"]
    sorted_runs = {}
    for norm in NOISY:
        runs = {0.0: data["arms"]["batch_norm" if norm == "noisy_batch" else "plain"], usual: data["arms"][norm]}
        runs |= {strength: data["sweep"][f"{norm}_{strength:g}"] for strength in data["config"]["noise_strengths"]}
        sorted_runs[norm] = dict(sorted(runs.items()))
    return sorted_runs


def summarise(data: dict[str, Any]) -> str:
    """Put the result into tables."""
    from experiments._numbers import accuracy as accuracy_numbers
    from experiments._numbers import curves

    named = {curves.LABELS[net]: runs for net, runs in data["arms"].items()}
    swept = {
        f"{curves.LABELS[norm]}, {strength:g}": runs
        for norm, strengths in by_strength(data).items()
        for strength, runs in strengths.items()
        if runs not in data["arms"].values()
    }
    is_noisy = data["config"].get("noise_in_tests")
    return "\n".join(
        [
            "",
            *accuracy_numbers.table({**named, **swept}),
            f"Medians over {curves.count_seeds(data)}; nets that are named with a strength of their noise have one seed.",
            "Steps: until the median of five points of the training curve is as high. Train: mean of the last 50 batches, with",
            f"noise; test: {'with it' if is_noisy else 'without'}. A run that diverged guesses.",
            "",
            *_drifts(data),
            *curves.divergences({**named, **swept}),
        ]
    )


def _drifts(data: dict[str, Any]) -> list[str]:
    """Write how far mean and variance move, per layer and net."""
    from experiments._numbers import curves
    from experiments._numbers import drift as drift_numbers

    nets = data["arms"]
    layers = drift_numbers.layer_names([found for runs in nets.values() for found in runs])
    heads = [f"layer {drift_numbers.number(layer)}{of}" for of in ("", ", in stds") for layer in layers]
    rows = [f"{'shift of the mean of':25}" + "".join(f"{head:>18}" for head in heads)]
    for net, runs in nets.items():
        values = [
            drift_numbers.typical(runs, layer, "mean", "successive", relative)
            for relative in (False, True)
            for layer in layers
        ]
        rows.append(f"{curves.LABELS[net]:25}" + "".join(f"{value:18.3g}" for value in values))
    every = data["config"]["probe_every"]
    return [*rows, f"Absolute values between measurements {every} steps apart: medians over units, steps and seeds."]


def plot(data: dict[str, Any]) -> Any:
    """Draw accuracy, how it depends on the strength of the noise, and how far the moments of activations move."""
    from experiments._figures.noisy_batchnorm import noisy_figure

    return noisy_figure(data)


def findings(data: dict[str, Any]) -> str:
    """Say what the noise does to accuracy, and to the stability of the activations."""
    from experiments._claims.claim import TIMES
    from experiments._numbers import curves
    from experiments._numbers import drift as drift_numbers
    from experiments._numbers.accuracy import MEASURES, over_runs, percent

    nets, config = data["arms"], data["config"]

    def reached(net: str, measure: str = "train") -> str:
        return percent(over_runs(nets[net], MEASURES[measure]).middle)

    def spread(relative: bool) -> str:
        ratios = drift_numbers.typical_ratios(nets, "noisy_batch", "plain", "mean", "successive", relative)
        return f"{TIMES.number(min(ratios))} to {TIMES.number(max(ratios))}"

    names = drift_numbers.layer_names([found for runs in nets.values() for found in runs])
    layers = ", ".join(str(drift_numbers.number(layer)) for layer in names)
    tests = f"with{'' if config.get('noise_in_tests') else 'out'} the noise"
    found = (
        f"After {config['num_steps']:,} steps the training accuracy is {reached('noisy_batch')} with noisy batch norm, "
        f"{reached('batch_norm')} with batch norm and {reached('plain')} without; the same noise leaves the plain net at "
        f"{reached('noise')}, and noise in units of each unit's own standard deviation at {reached('relative_noise')}. "
        f"On test images, {tests} and with the running statistics of noisy activations, noisy batch norm answers "
        f"{reached('noisy_batch', 'test')} correctly, batch norm {reached('batch_norm', 'test')}; in {config['probe_every']} "
        f"steps the means of {drift_numbers.subject(config)} the nonlinearities of layers {layers} move "
        f"{spread(False)} times as far with noisy batch norm as without batch norm, {spread(True)} times in units of each "
        f"unit's own standard deviation."
    )
    others = {
        f"{curves.LABELS[norm]} of strength {strength:g}": data["sweep"][f"{norm}_{strength:g}"]
        for norm in NOISY
        for strength in config["noise_strengths"]
    }
    return " ".join([found, *curves.divergences({**nets, **others})])
