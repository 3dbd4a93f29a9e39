"""The figure of batch norm with noise: accuracy, the strength of the noise, and the stability of activations."""

from collections.abc import Callable
from functools import partial
from typing import Any

from experiments._evidence.drift import Moment, drift, subject, typical
from experiments._evidence.format import plural
from experiments._evidence.quantities import TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.run import Arms, all_runs, layer_names, layer_number
from experiments._figures import captions, distributions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import Accuracy, Dots
from experiments.noisy_batchnorm import NOISY, by_strength


def plot(data: dict[str, Any]) -> Layout:
    """Show accuracy, also by the strength of the noise; below, how far means and variances move."""
    arms, config, every = data["arms"], data["config"], data["config"]["schedule"]["probe_every"]
    drifts = [[_drift(data, moment, relative) for relative in (False, True)] for moment in ("mean", "variance")]
    return make_figure(
        f"{captions.network(config)}: noise at every step, with and without batch norm",
        [Block("", [[Accuracy(arms), _strengths(data)], *drifts])],
        captions.recipe(config, data["preset"]),
        [
            captions.images(config),
            f"{captions.noise(config['noise'])} in training{' and tests' * config['noise']['in_tests']}",
        ],
        [
            "each unit and step has a mean and a scale of the noise of its own; scaled noise: in units of each unit's std",
            *_seeds_of_strengths(data),
        ],
        [
            f"drift: of {subject(config)}s, noise included, between measurements {every} steps apart",
            "dots: median over units, steps and seeds",
            "lines: range over seeds",
            "shades: middle 80 % of the values over the steps",
        ],
        captions.origin(data),
    )


def more(data: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Layout]]:
    """Name the functions that lay out further figures; older data, without shapes, have none."""
    return {"distributions": _distributions} if distributions.has_shapes(data["arms"]) else {}


def _distributions(data: dict[str, Any]) -> Layout:
    """Show a unit of the deepest layer over training for every net."""
    arms, config, title = data["arms"], data["config"], "with noise at every step and without"
    foot = [captions.recipe(config, data["preset"]), [captions.images(config)], captions.origin(data)]
    return distributions.of_deepest_layer(arms, config, title, *foot)


def _seeds_of_strengths(data: dict[str, Any]) -> list[str]:
    """Count the seeds of the other strengths for the caption; empty without other strengths."""
    counts = [len(runs) for runs in data.get("sweep", {}).values()]
    return [f"other strengths: {plural(max(counts), 'seed')}"] if counts else []


def _strengths(data: dict[str, Any]) -> Dots:
    return Dots(
        {net: data["arms"][net] for net in NOISY},
        by_strength(data),
        {"training, with noise": TRAIN_ACCURACY.at_end(50), "test, without": TEST_ACCURACY.at_end()},
        title="Accuracy at the end",
        xlabel="strength of the noise",
        ylabel="accuracy",
        scale="percent",
        joined=True,
    )


def _drift(data: dict[str, Any], moment: Moment, relative: bool) -> Dots:
    """Show how far a moment of each layer's units moves between two measurements."""
    arms: Arms = data["arms"]
    names = {f"layer {layer_number(layer)}": layer for layer in layer_names(all_runs(arms), "drift")}
    of, unit = partial(drift, moment=moment, relative=relative), {"mean": "std", "variance": "variance"}.get(moment)
    return Dots(
        arms,
        dict.fromkeys(names, arms),
        {"": lambda column: typical(names[column], moment, relative=relative)},
        title=f"Drift of the {moment}" + ", relative" * relative,
        ylabel=f"|change of the {moment}|" + f" / {unit}" * relative,
        shaded=lambda column: of(names[column]),
    )
