"""Data of experiments, made by hand: curves like the published ones, as they are read from a data file."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bnjax.runs import config_dict
from experiments import covariate_shift, landscape, noisy_batchnorm, training_curves
from experiments._config import change
from experiments._evidence.keep import training

ORIGIN = {"commit": "0123456789", "device": "CPU", "cpu_cores": 2, "date": "2026-01-01"}
_COARSER = training(500, "loss", "loss_change", "accuracy")


def noise(num, seed, spread=0.2):
    """Draw positive factors around 1."""
    return np.random.default_rng(seed).lognormal(0, spread, num)


def make_run(config, seed, rate, probes, diverged_at=None):
    """Make a run whose loss falls from 2.3 at some rate; one that diverges ends there.

    Args:
        config: of the run.
        seed: of the run.
        rate: how fast it learns, per step.
        probes: by name, a function that maps (steps, seed) to what was measured at them.
        diverged_at: step at which the loss stops being finite.
    """
    end = config.schedule.num_steps if diverged_at is None else diverged_at
    steps = np.arange(end)
    loss = 2.3 * np.exp(-rate * steps) * noise(end, seed)
    change = np.abs(np.diff(loss, prepend=np.nan))
    accuracy = 1 - 0.9 * np.exp(-rate * steps)
    tested = np.arange(config.schedule.eval_every, end + 1, config.schedule.eval_every)
    measured = np.arange(0, end, config.schedule.probe_every)
    found = {name: probe(measured, seed) for name, probe in probes.items()}
    return {
        "seed": seed,
        "train": {"step": steps, "window": 1, "loss": loss, "loss_change": change, "accuracy": accuracy},
        "test": {"step": tested, "loss": loss[tested - 1], "accuracy": 0.9 * accuracy[tested - 1]},
        **{name: {"step": measured, **values} for name, values in found.items()},
        "diverged_at": diverged_at,
        "seconds": 1.0,
    }


def make_shift(layers, difference, cosine):
    """Make what is measured of each layer's shift: its size, and the cosine, both constant except for noise."""

    def probe(steps, seed):
        found = {}
        for i, layer in enumerate(layers):
            size = difference * noise(len(steps), seed + 10 * i)
            turned = np.clip(cosine + 0.1 * (noise(len(steps), seed + 20 * i) - 1), -1, 1)
            found[f"layer_{layer}"] = {"difference": size, "relative_difference": size / 2, "cosine": turned}
        return {"layers": found}

    return probe


def make_dummy_shift(difference):
    """Make the measure of Mameli's repository, nearly all of which is there without any step."""

    def probe(steps, seed):
        return {
            "step_difference": difference * noise(len(steps), seed),
            "zero_step_difference": 0.95 * difference * noise(len(steps), seed + 1),
            "step_cosine": 0.05 * noise(len(steps), seed),
            "zero_step_cosine": 0.1 * noise(len(steps), seed),
        }

    return probe


def shorter(config, max_steps, vgg_steps=None):
    """Take at most so many steps of each network."""
    limits = {"vgg": vgg_steps or max_steps, "deep_linear": max_steps}
    nets = {"vgg": change(config.vgg, schedule={"num_steps": vgg_steps}) if vgg_steps else config.vgg}
    nets["deep_linear"] = config.deep_linear
    steps = {name: min(net.schedule.num_steps, limits[name] or net.schedule.num_steps) for name, net in nets.items()}
    return change(config, **{name: {"schedule": {"num_steps": num}} for name, num in steps.items()})


def covariate_shift_data(preset="smoke", diverged_at=None, max_steps=None, num_draws=None):
    """Make the experiment's data: with batch norm, there is three times as much shift; a run without may diverge."""
    config = shorter(covariate_shift.PRESETS[preset], max_steps)
    config = change(config, deep_linear={"seeds": config.deep_linear.seeds[:num_draws]})

    def runs(name, run):
        is_normalised = name.startswith("batch_norm")
        shift = make_shift(run.probes.shift.layers, 0.9 if is_normalised else 0.3, 0.4 if is_normalised else 0.8)
        probes = {"shift": shift}
        if "dummy_shift" in run.probes:
            probes["dummy_shift"] = make_dummy_shift(3.0 if is_normalised else 1.0)
        stop = None if is_normalised else diverged_at
        rate = (6 if is_normalised else 2) / run.schedule.num_steps
        return [make_run(run, seed, rate, probes, stop) for seed in run.seeds]

    return as_read("covariate_shift", preset, config, covariate_shift.groups(config), runs)


def make_scan(config, loss, change):
    """Make scans: the loss lies between its value and twice that, the gradient changes in proportion to the step."""
    sizes = config.optimizer.learning_rate * np.array(config.probes.landscape.step_multiples)

    def probe(steps, seed):
        factors = noise(len(steps), seed)[:, None]
        distance = change * factors * sizes / sizes.max()
        return {
            "loss": loss * (1 + factors * sizes / sizes.max()),
            "gradient_norm": np.ones(len(steps)),
            "gradient_distance": distance,
            "smoothness": distance / sizes,
        }

    return probe


def make_successive(layer, length, of_all=False):
    """Make gradients of successive steps, all of one length and almost orthogonal; of all parameters their change as well."""

    def probe(steps, seed):
        factors = noise(len(steps), seed)
        sizes = dict.fromkeys(("norm", "previous_norm", "step_distance", "step_sum"), length * factors)
        own = {**sizes, "relative_sum": 0.7 * factors, "step_cosine": 0.05 * factors}
        return {"layers": {f"layer_{layer}": own} | ({"all": {"step_smoothness": length * factors}} if of_all else {})}

    return probe


def landscape_data(preset="smoke", diverged_at=None, max_steps=None, vgg_steps=None, rates_steps=None):
    """Make the experiment's data: without batch norm, everything varies four times as much; that net may diverge."""
    config = shorter(landscape.PRESETS[preset], max_steps, vgg_steps)
    config = replace(config, rates_steps=rates_steps or config.rates_steps)

    def runs(name, run):
        is_normalised = name.startswith("batch_norm")
        loss, change_of = (1.0, 2.0) if is_normalised else (4.0, 8.0)
        rate = (6 if is_normalised else 2) / run.schedule.num_steps
        probes = {}
        if "landscape" in run.probes:
            probes["landscape"] = make_scan(run, loss, change_of)
            probes["random_direction"] = make_scan(run, loss / 50, change_of / 50)
        if "successive_gradients" in run.probes:
            (layer, *_), length = run.probes.successive_gradients.layers, 3.0 if is_normalised else 1.0
            has_rates = name not in ("plain", "batch_norm")  # several learning rates
            if has_rates:
                length = 10 * change_of * run.optimizer.learning_rate
                rate *= run.optimizer.learning_rate / config.vgg.optimizer.learning_rate
            probes["successive_gradients"] = make_successive(layer, length, of_all=not has_rates)
        stop = None if is_normalised else diverged_at
        measured = {name: probe for name, probe in probes.items() if name in run.probes}
        return [make_run(run, seed, rate, measured, stop) for seed in run.seeds]

    return as_read("landscape", preset, config, landscape.groups(config), runs)


# How fast each net learns, over the length of the training.
CURVE_SPEEDS = {"plain": 0.5, "batch_norm": 4.0, "batch_norm_4": 2.0}


def training_curves_data(preset="cpu", speeds=CURVE_SPEEDS, num_steps=1000, diverged_at=None):
    """Make the experiment's data: every net learns at its speed, but the plain one guesses at 0.5, or diverges."""
    config = change(training_curves.PRESETS[preset], schedule={"num_steps": num_steps}, seeds=(0, 1, 2))

    def runs(arm, run):
        net = arm.rpartition("_")[0]
        is_lost = arm == "plain_0.5"
        rate = 0 if is_lost else speeds[net] / num_steps
        found = [make_run(run, seed, rate, {}, diverged_at if is_lost else None) for seed in run.seeds]
        return [{**each, "train": _COARSER(each["train"], 0)} for each in found]

    return as_read("training_curves", preset, config, training_curves.groups(config), runs)


# How fast each net learns, over the length of the training; the plain net with noise only guesses.
NOISY_SPEEDS = {"plain": 1.0, "batch_norm": 4.0, "noisy_batch": 3.9, "noise": 0.0, "relative_noise": 0.8}
# Of each net's units: how far the mean moves between two measurements, and the standard deviation.
NOISY_MOVES = {"plain": (0.1, 0.2), "batch_norm": (0.01, 1), "noisy_batch": (0.3, 1), "noise": (0.3, 0.4)}


_SHAPES = {"quantiles": 40, "percentiles": 3}  # how many are recorded of a unit


def make_drift(layers, move, std):
    """Make what is recorded of activations whose means move to and fro, and whose variances grow by a tenth of the move."""

    def probe(steps, _seed):
        signs = np.resize([1, -1], len(steps) - 1)[:, None] * np.ones(3)
        moves = {"mean": move * signs, "variance": 0.1 * move * abs(signs), "wasserstein": move * abs(signs)}
        scales = {"mean": std, "variance": std**2, "wasserstein": std}
        relative = {f"relative_{moment}": values / scales[moment] for moment, values in moves.items()}
        shapes = {name: np.linspace(-1, 1, num) + np.zeros((len(steps), 1)) for name, num in _SHAPES.items()}
        return {"layers": {f"layer_{layer}": {"successive": {**moves, **relative}, **shapes} for layer in layers}}

    return probe


def noisy_data(preset="cpu", speeds=NOISY_SPEEDS, moves=NOISY_MOVES, num_steps=1000, diverged_at=None):
    """Make the experiment's data, as it is published; the plain net with noise may diverge."""
    config = change(noisy_batchnorm.PRESETS[preset], schedule={"num_steps": num_steps}, seeds=(0, 1, 2))

    def runs(arm, run):
        net = arm.rstrip("0123456789._")
        rate, stop = speeds[net] / num_steps, diverged_at if arm == "noise" else None
        followed = run.probes.drift.layers if "drift" in run.probes else ()
        probes = {"drift": make_drift(followed, *moves.get(net, (0.1, 0.2)))} if followed else {}
        found = [make_run(run, seed, rate, probes, stop) for seed in run.seeds]
        return [{**each, "train": _COARSER(each["train"], 0)} for each in found]

    return as_read("noisy_batchnorm", preset, config, noisy_batchnorm.groups(config), runs)


def as_read(name: str, preset: str, config, groups: dict, runs: Callable):
    """Put runs together as an experiment's data, and turn them into what JSON gives back."""
    data = {
        "experiment": name,
        "preset": preset,
        "config": config_dict(config),
        **{group: {arm: runs(arm, run) for arm, run in arms.items()} for group, arms in groups.items()},
        "provenance": [ORIGIN],
        "seconds": 60.0,
    }
    return json.loads(json.dumps(data, default=lambda values: values.tolist()))
