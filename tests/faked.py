"""Results of experiments that nobody has trained: whatever a configuration asks of its nets, measured as noise."""

import json
from functools import cache

import jax.numpy as jnp
import numpy as np
from runs import ORIGIN

from bnjax import probes
from bnjax.runs import config_dict
from bnjax.runs.json_files import finite
from experiments._command import catalogue, cli
from experiments._command.arguments import parse
from experiments._config import Options
from experiments._evidence.keep import keep
from experiments._training.asked import log_name
from experiments._training.experiment import collect, measure_all
from experiments._training.probes.dependence import GAINS, PLACES
from experiments._training.probes.flatness import REACHED
from experiments._training.probes.horizon import STATISTICS
from experiments._training.store import Found
from experiments.theory_bounds.quantities import EDGES, EQUALITIES, RATIOS, STATEMENTS

_SCAN = ("loss", "gradient_distance", "smoothness", "gradient_cosine")
_SUCCESSIVE = (
    "norm",
    "previous_norm",
    "step_distance",
    "step_sum",
    "step_cosine",
    "relative_sum",
    "step_length",
    "step_smoothness",
)
_SHIFT = ("difference", "relative_difference", "cosine", "gradient_norm")


def _scan(settings, _net, draw):
    sizes = {name: draw(len(settings.step_multiples)) for name in _SCAN}
    return {"step_sizes": settings.step_multiples, "start_loss": 1.0, "gradient_norm": 1.0, **sizes}


def _of_layers(names, *more):
    def record(settings, _net, draw):
        layers = [*(f"layer_{n}" for n in settings.layers), *more]
        return {"layers": layers, **{name: draw(len(layers)) for name in names}}

    return record


def _sharpness(settings, _net, draw):
    return {"sharpness": draw(), **{name: draw(settings.batches) for name in ("samples", "gradient_norms")}}


def _dummy_shift(_settings, _net, draw):
    return {f"{which}_{name}": draw() for which in ("step", "zero_step") for name in ("difference", "cosine")}


@cache
def _statistics(units, seed):
    """Describe activations that are noise."""
    values = jnp.asarray(np.random.default_rng(seed).normal(size=(20, units)), jnp.float32)
    found = probes.activation_statistics(values, units=[*range(units)], num_quantiles=40)._asdict()
    return {name: np.asarray(x).tolist() for name, x in found.items()}


def _drift(settings, _net, draw):
    return {f"layer_{n}": _statistics(settings.units, int(4 * draw()) % 4) for n in settings.layers}


def _percentiles(_settings, net, draw):
    has_norm = net.config.norm.follows(len(getattr(net.config.model, "hidden", ())))
    ways = ("running", "batch") if has_norm else ("running",)
    shapes = {"layer": (3,), "units": (4, 3)}
    return {f"{way}_{part}": np.sort(draw(*shape)) for way in ways for part, shape in shapes.items()}


def _hidden_gradients(_settings, net, draw):
    return {"norm": draw(net.config.data.num_rows)}


def _checks(settings, net, _draw):
    layers = len(net.config.model.hidden)
    held = ["units", "active", *STATEMENTS.values(), *(f"epsilon {epsilon:g}" for epsilon in settings.epsilons)]
    return {
        "errors": dict.fromkeys([*EQUALITIES.values(), *(f"gap {x:g}" for x in settings.epsilons)], 1e-12),
        "counts": dict.fromkeys(held, [3] * layers),
        "ratios": dict.fromkeys(RATIOS.values(), [[0.1, 0.5, 0.9]] * layers),
        "histogram": {"removed": [1] * (len(EDGES) - 1)},
    }


def _generalisation(_settings, _net, draw):
    names = [
        f"{images}_{name}" for images in ("train", "batch", "running", "population") for name in ("loss", "accuracy")
    ]
    return {name: 0.5 * draw() for name in names}


def _evaluation(settings, net, draw):
    layers = [f"norm_{n}" for n in range(1, net.config.model.num_normalised + 1)]
    shifts = ["train", "clean", *settings.shifts]
    modes = [
        f"{mode}_{name}" for mode in ("running", "batch", "recalibrated", "adapted") for name in ("loss", "accuracy")
    ]
    found = {f"{shift}_{mode}": 0.5 * draw() for shift in shifts for mode in modes}
    for shift in [*shifts, *["held_out"] * bool(net.config.data.classes)]:
        found |= {f"{shift}_{name}": draw(len(layers)) for name in ("distance", "log_ratio", "largest", "not_finite")}
    return {"layers": layers, **found, "change_running": 0.0, "change_batch": draw()}


def _zero_units(_settings, net, draw):
    layers = [f"layer_{n}" for n in range(1, net.config.model.num_layers)]
    return {"layers": layers, "units": [8] * len(layers), "dead": [1] * len(layers), "zero": draw(len(layers)) / 8}


def _scales(_settings, net, draw):
    config = net.config
    layers = [f"layer_{n}" for n in range(1, config.model.num_normalised + 1) if config.norm.follows(n)]
    values = {name: draw(len(layers)) for name in ("scale", "ratio")}
    return {"layers": layers, "units": [8] * len(layers), **values, "small": draw(len(layers)) / 8}


def _layer_dependence(settings, net, draw):
    layers = [f"layer_{n}" for n in range(1, net.config.model.num_layers + 1)]
    num = len(settings.step_multiples) + len(settings.relative_steps)
    sizes = {name: draw(num) for name in ("step_sizes", "ratio", "second_order_ratio", "relative_distance")}
    blocks = {name: draw(len(layers)) for name in ("block_squares", "block_errors")}
    curvature = draw(len(layers), len(layers))
    return {"layers": layers, **sizes, "rounding": [1e-6] * num, "share": draw(), "curvature": curvature, **blocks}


def _moment_control(_settings, net, draw):
    layers = [f"layer_{n}" for n in range(2, net.config.model.num_normalised + 1)]
    names = [f"{place}_{gain}" for place in PLACES for gain in GAINS]
    return {"layers": layers, **{name: draw(len(layers)) for name in names}}


def _horizon(settings, _net, draw):
    barriers = [f"barrier_{name}" for name in STATISTICS]
    names = ["frozen_loss", "path_loss", "cosine", "distance", "largest_smoothness", "mean_smoothness", *barriers]
    ahead = {name: draw(len(settings.steps_ahead)) for name in names}
    return {"start_loss": 1.0, "gradient_norm": draw(), **ahead}


def _plane(settings, _net, draw):
    num = settings.num_points
    grid = {"xs": np.linspace(-0.5, 1, num), "ys": np.linspace(-0.3, 1.2, num), "loss": draw(num, num)}
    numbers = {"start_loss": 1.0, "distance": draw(), "cosine": 0.1, "step_length": 0.1}
    return {**grid, **numbers, "path": [[0.0, 0.0], [0.2, 0.4], [0.1, 0.995]]}


def _eigenvalues(settings, net, draw):
    found = {}
    for prefix in ("", "frozen_")[: 1 + net.config.norm.is_recalibrated]:
        found |= {
            f"{prefix}eigenvalues": np.sort(draw(settings.num))[::-1],
            f"{prefix}shares": 0.05 * draw(settings.num),
        }
    return found


def _flatness(_settings, _net, draw):
    return {"train_loss": draw(), **{name: draw() for name in REACHED}}


RECORDS = {
    "landscape": _scan,
    "random_direction": _scan,
    "successive_gradients": _of_layers(_SUCCESSIVE, "all"),
    "batch_sharpness": _sharpness,
    "shift": _of_layers(_SHIFT),
    "dummy_shift": _dummy_shift,
    "drift": _drift,
    "drift_before_norm": _drift,
    "drift_after_activation": _drift,
    "percentiles": _percentiles,
    "hidden_gradients": _hidden_gradients,
    "zero_units": _zero_units,
    "scales": _scales,
    "checks": _checks,
    "generalisation": _generalisation,
    "evaluation": _evaluation,
    "layer_dependence": _layer_dependence,
    "moment_control": _moment_control,
    "horizon": _horizon,
    "plane": _plane,
    "eigenvalues": _eigenvalues,
    "flatness": _flatness,
}


def found(net, diverged_at=None):
    """Make the finished run of a net."""
    asked, rng = net.asked, np.random.default_rng(net.seed)
    num_steps, end = asked.num_steps, asked.num_steps if diverged_at is None else min(diverged_at, asked.num_steps)
    losses = [*rng.uniform(size=end), *[None] * (num_steps - end)]
    lines = [{"kind": "train", "step": 0, "loss": losses, "accuracy": rng.uniform(size=num_steps)}]
    settings = {log_name(probe): probe for probe in asked.probes}

    def draw(*shape):
        return rng.lognormal(0, 0.2, shape).astype(np.float32)

    def record(name):
        if name in settings:
            return RECORDS[settings[name].kind](settings[name], net, draw)
        return {"loss": 1.0, "accuracy": 0.5}

    for name, steps in asked.measured().items():
        lines += [{"kind": name, "step": step, **record(name)} for step in steps if step <= end]
    if end < num_steps:
        lines.append({"kind": "diverged", "step": end})
    lines = json.loads(json.dumps(lines, default=lambda values: values.tolist()))
    return Found(net.folder, lines, num_steps, None, 1.0, [ORIGIN], frozenset({asked}))


def nets_of(name, *arguments):
    """List the nets of an experiment's smoke preset with some arguments, and the head of its data.

    Raises:
        ValueError, ConfigError: if it is refused.
    """
    experiment = catalogue.module(name)
    preset, config, _ = parse(name, "", experiment.PRESETS, ["--preset", "smoke", *arguments])
    nets = cli.nets_of(experiment, config, Options(), with_data=False)
    head = {"experiment": name, "preset": preset, "config": config_dict(config)}
    return {key: net._replace(folder=net.folder / str(key)) for key, net in nets.items()}, head  # nothing is shared


@cache
def measured_of(name):
    """Measure what an experiment that trains nothing does, in preset smoke."""
    config = catalogue.module(name).PRESETS["smoke"]
    found = measure_all(catalogue.part(name, "runs").measure(config, Options()), lambda line: None)
    return json.loads(json.dumps(finite({**keep(found, catalogue.module(name).KEEP), "provenance": [ORIGIN]})))


def data_of(name, *arguments, diverged_at=None):
    """Make the data of an experiment, as they are read; see `nets_of`. One that trains nothing measures."""
    nets, head = nets_of(name, *arguments)
    if not nets:
        return {**head, **measured_of(name)}
    everything = {net.folder: found(net, diverged_at) for net in nets.values()}
    data = keep(collect(nets, everything), catalogue.module(name).KEEP)
    return json.loads(json.dumps(finite({**head, **data})))
