"""The distributions of what goes into the nonlinearities of a VGG, over training, with and without batch norm.

Claim: to the eye, batch norm does not make the distributions of layer inputs much more stable, although it helps training so
much; but the first two moments do become steadier.
Source: Santurkar et al. 2018, Fig. 1c and 8; Ioffe & Szegedy 2015 claim stability.
Command: TFDS_DATA_DIR=... python -m experiments activation_drift --preset cpu
Measured: preset cpu, three seeds, two cores, 2.5 minutes: between measurements the means move
15 to 167 times as far without BN as with it. Preset paper waits for an accelerator.
"""

from pathlib import Path
from typing import Any

from experiments._presets import CPU, PAPER, SMOKE, with_and_without
from experiments._config import Options, VGGRun

# The runs of batch norm's other relatives have the same probes, so that those they have in common are trained once.
_PROBES: dict[str, Any] = {"probes": ("landscape", "drift"), "drift_layers": (3, 8, 10)}

PRESETS = {
    "cpu": VGGRun(**CPU, **_PROBES),
    "smoke": VGGRun(**SMOKE, **_PROBES),
    "paper": VGGRun(**{**PAPER, **_PROBES, "drift_layers": (2, 3, 9, 11)}, seeds=(0, 1, 2)),
}

# The rows of the table: their words; which moment, since when, and whether in the unit's own units.
SHIFTS: tuple[tuple[Any, ...], ...] = (
    ("mean, in {} steps", "mean", "successive", False),
    ("  in standard deviations", "mean", "successive", True),
    ("variance, in {} steps", "variance", "successive", False),
    ("  as a share of it", "variance", "successive", True),
    ("W1 / std, in {} steps", "wasserstein", "successive", True),
    ("mean, from the start", "mean", "cumulative", False),
    ("  in standard deviations", "mean", "cumulative", True),
    ("variance, from the start", "variance", "cumulative", False),
    ("  as a share of it", "variance", "cumulative", True),
    ("W1 / std, from the start", "wasserstein", "cumulative", True),
)


def run(config: VGGRun, options: Options, _folder: Path) -> dict[str, Any]:
    """Train both nets and follow their activations; return the data of the figure."""
    from experiments._numbers import curves
    from experiments._numbers import drift as drift_numbers
    from experiments._training.experiment import train_all

    data = train_all({"arms": with_and_without(config)}, options)
    for runs in data["arms"].values():
        for i, found in enumerate(runs):
            del found["landscape"]
            found["train"] = curves.coarser(found["train"], 250, names=("accuracy",))
            layers = drift_numbers.layer_names([found])
            found["drift"] = drift_numbers.published(found["drift"], layers, max_shapes=0 if i else 40)
    return data


def summarise(data: dict[str, Any]) -> str:
    """Put the shifts into a table: a block per layer, a row per shift, a column per net."""
    from experiments._claims.claim import TIMES
    from experiments._claims.measures import divide
    from experiments._numbers import curves
    from experiments._numbers import drift as drift_numbers

    arms = data["arms"]
    lines = ["", f"{'':30}" + "".join(f"{curves.LABELS[arm]:>12}" for arm in arms) + f"{'ratio':>12}"]
    accuracies = [curves.final(runs, "test", "accuracy") for runs in arms.values()]
    lines.append(f"{'test accuracy':30}" + "".join(f"{100 * value:10.1f} %" for value in accuracies))
    for layer in drift_numbers.layer_names([found for runs in arms.values() for found in runs]):
        lines.append(f"{layer.replace('_', ' ')}, shift of")
        for words, *moved in SHIFTS:
            values = [drift_numbers.typical(runs, layer, *moved) for runs in arms.values()]
            cells = "".join(f"{number:>12}" for number in map(TIMES.number, (*values, divide(*values))))
            lines.append(f"  {words.format(data['config']['probe_every']):28}{cells}")
    about = "Absolute values, medians over units, over steps and then over seeds"
    return "\n".join(
        [
            *lines,
            f"{about} ({curves.count_seeds(data)}). The ratio is without BN / with BN.",
            *curves.divergences(arms),
        ]
    )


def plot(data: dict[str, Any]) -> Any:
    """Draw the distributions over training, their percentiles, and how far their moments move."""
    from experiments._figures.activation_drift import activation_drift_figure

    return activation_drift_figure(data)


def findings(data: dict[str, Any]) -> str:
    """Say how much steadier the moments are with batch norm, in absolute units and in the units' own."""
    from experiments._claims.claim import TIMES
    from experiments._numbers import curves
    from experiments._numbers import drift as drift_numbers

    arms = data["arms"]
    layers = drift_numbers.layer_names([found for runs in arms.values() for found in runs])

    def spread(*moved: Any) -> str:
        ratios = drift_numbers.typical_ratios(arms, "plain", "batch_norm", *moved)
        return f"{TIMES.number(min(ratios))} to {TIMES.number(max(ratios))}"

    numbers = ", ".join(str(drift_numbers.number(layer)) for layer in layers)
    diverged = " ".join(curves.divergences(arms))
    return (
        f"From one measurement to the next, {data['config']['probe_every']} steps, the mean of "
        f"{drift_numbers.subject(data['config'])} a nonlinearity of layers {numbers} moves "
        f"{spread('mean', 'successive', False)} times as far without batch norm as with it, and its variance "
        f"{spread('variance', 'successive', False)} times as far. In units of each unit's standard deviation the mean moves "
        f"{spread('mean', 'successive', True)} times as far, and the whole distribution is "
        f"{spread('wasserstein', 'cumulative', True)} times as far from where it started. {diverged}"
    ).strip()
