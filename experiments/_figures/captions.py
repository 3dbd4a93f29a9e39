"""Captions of figures: net, training, device and date."""

from typing import Any

import numpy as np

from bnjax.draw.style import LENGTHS
from experiments._evidence.curve import MANY
from experiments._evidence.format import plural
from experiments._evidence.setup import OPTIMIZERS, width_words

DATASETS = {"cifar10": "CIFAR-10", "mnist": "MNIST", "digits": "the UCI digits", "synthetic": "synthetic patterns"}
_INPUTS = {
    "unit": "pixels from 0 to 1",
    "half": "pixels from -1 to 1",
    "meanstd": "channels of mean 0 and std 1",
    "binary": "pixels 0 or 1",
}
_NOISES = {
    "santurkar": "noise of Santurkar et al. 2018",
    "santurkar_variance": "noise of Santurkar et al. 2018, 0.1 read as a variance",
    "strong": "stronger noise",
    "stationary": "noise that does not change from step to step",
}
_HEADS = {"mameli": "Mameli's head", "mameli_reduced": "Mameli's head, reduced"}
LP_CENTRED = "lp norms after subtracting the mean"


def network(config: dict[str, Any]) -> str:
    """Name a network and its data, for a title."""
    model = config["model"]
    if "data" not in config:
        return f"deep linear network of {model['depth']} layers"
    if "num_blocks" in model:
        return (
            f"ResNet-{6 * model['num_blocks'] + 2} of width {model['width']}, on {DATASETS[config['data']['dataset']]}"
        )
    name = "BN-Inception" if "stem_stride" in model else f"VGG-{model['depth']}"
    return f"{name}, {width_words(model['width'])}, on {DATASETS[config['data']['dataset']]}"


def recipe(config: dict[str, Any], preset: str, *, learning_rate: bool = True) -> list[str]:
    """Describe how a network was trained; a figure of several learning rates names none."""
    layers, optimizer = config["norm"].get("layers", "all"), config["optimizer"]
    after = "every hidden layer" if layers == "all" else f"layer {', '.join(map(str, layers))} only"
    rate = [f"learning rate {optimizer['learning_rate']:g}"] if learning_rate else []
    extras = [
        f"{name.replace('_', ' ')} {optimizer[name]:g}"
        for name in ("momentum", "weight_decay", "clip", "half_life")
        if optimizer.get(name)
    ]
    return [
        f"preset {preset}",
        seeds(config),
        _head(config["model"]),
        f"{normaliser(config['norm'])} after {after}",
        *variants(config),
        ", ".join([OPTIMIZERS[optimizer["name"]], *rate, *extras, f"batches of {optimizer['batch_size']}"]),
    ]


def normaliser(norm: dict[str, Any]) -> str:
    """Name the normaliser that the figure calls BN."""
    if norm["kind"] == "batch":
        return "BN"
    return (
        f"in place of BN, l{norm['p']} norm"
        if norm["kind"] == "lp"
        else f"in place of BN, {norm['kind'].replace('_', ' ')}"
    )


def variants(config: dict[str, Any]) -> list[str]:
    """Describe how the training or the measurements differ from the source's defaults."""
    noise = config.get("noise") or config["norm"].get("noise") or {}
    phrases = {
        LP_CENTRED: config["norm"].get("center_first"),
        "noise in tests too": noise.get("in_tests"),
        "covariate shift: of earlier layers the weights alone move": config["probes"]
        .get("shift", {})
        .get("weights_only"),
    }
    return [phrase for phrase, is_so in phrases.items() if is_so]


def length(config: dict[str, Any]) -> str:
    """Name the norm by which scans measure gradients and steps, for an axis."""
    return LENGTHS[config["probes"].get("landscape", {}).get("norm", "global")]


def loss(config: dict[str, Any]) -> str:
    """Name the loss that scans evaluate, for an axis."""
    has_penalty = config["probes"].get("landscape", {}).get("penalty")
    return "cross-entropy + L2 penalty (nats)" if has_penalty else "cross-entropy (nats)"


def deep_linear(config: dict[str, Any], draws: str = "") -> str:
    """Describe how a deep linear network was trained, except for its learning rate; `draws` replaces their number."""
    more = [draws or plural(len(config["seeds"]), "draw"), f"bands: {bands(config)}", *variants(config)]
    norm = normaliser(config["norm"])
    return (
        f"deep linear network: {config['model']['depth']} matrices, {norm} after each, gradient descent on all "
        f"{config['optimizer']['batch_size']:,} examples, {', '.join(more)}"
    )


def bands(config: dict[str, Any]) -> str:
    """Describe the bands of curves over seeds, or draws."""
    return "quartiles" if len(config["seeds"]) >= MANY else "smallest to largest"


def place(config: dict[str, Any]) -> str:
    """Return the place at which the distributions of activations are taken."""
    places = {"activations": "after the activation", "unnormalised": "before the normaliser"}
    return places.get(config["probes"]["drift"]["of"], "before the activation")


def seeds(config: dict[str, Any]) -> str:
    """Format the number of seeds."""
    return plural(len(config["seeds"]), "seed")


def images(config: dict[str, Any]) -> str:
    """Describe the inputs."""
    size = config["data"]["image_size"]
    images = f"images {size}x{size}" if size else "images of their own size"
    return f"{images}, {_INPUTS[config['data']['preprocessing']]}"


def noise(settings: dict[str, Any]) -> str:
    """Name the noise that is added to activations."""
    return _NOISES[settings["name"]]


def _head(model: dict[str, Any]) -> str:
    """Name the dense layers of a VGG; empty for other nets."""
    if "head" not in model:
        return ""
    known = _HEADS.get(model["head"])
    return known or f"dense layers of {int(int(model['head']) * model['width'])} units"


def scans(config: dict[str, Any]) -> str:
    """Describe the direction, length and frequency of the scans of the landscape."""
    sizes = np.array(config["probes"]["landscape"]["step_multiples"]) * config["optimizer"]["learning_rate"]
    every = config["schedule"]["probe_every"]
    return (
        f"scans every {every} steps, {len(sizes)} step sizes {sizes.min():g} to {sizes.max():g} along "
        "minus the gradient, on the current batch with its own statistics"
    )


def origin(data: dict[str, Any], for_what: str = "training, measurements and tests") -> list[str]:
    """Describe the origin of an experiment's data: commit, hardware, seconds, date; several if it was resumed."""

    def each(name: str) -> str:
        return ", ".join(dict.fromkeys(str(known[name]) for known in data["provenance"]))

    cores = each("cpu_cores")
    device = each("device") + (f" ({cores} core{'s' * (cores != '1')})" if each("device") == "CPU" else "")
    return [f"commit {each('commit')}", device, f"{data['seconds']:.0f} s for {for_what}", each("date")]
