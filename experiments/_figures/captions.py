"""What figures say of the runs they show: what was trained, how, where and when."""

from typing import Any

import numpy as np

from bnjax.draw.style import LENGTHS
from experiments._evidence.curve import MANY
from experiments._evidence.format import plural

DATASETS = {"cifar10": "CIFAR-10", "mnist": "MNIST", "digits": "the UCI digits", "synthetic": "synthetic patterns"}


def network(config: dict[str, Any]) -> str:
    """Name a network and what it learns, for a title."""
    if "dataset" not in config:
        return f"deep linear network of {config['depth']} layers"
    width = "" if config["width"] == 1 else f", {config['width']:g} of its width"
    return f"VGG-{config['depth']}{width}, on {DATASETS[config['dataset']]}"


def recipe(config: dict[str, Any], preset: str, *, learning_rate: bool = True) -> list[str]:
    """Write how a network was trained; a figure of several learning rates names none."""
    layers = config["norm_layers"]
    after = "every hidden layer" if layers == "all" else f"layer {', '.join(map(str, layers))} only"
    rate = [f"learning rate {config['learning_rate']:g}"] if learning_rate else []
    extras = [f"{name.replace('_', ' ')} {config[name]:g}" for name in ("momentum", "weight_decay") if config[name]]
    return [
        f"preset {preset}",
        seeds(config),
        f"head {config['head']}" if "head" in config else "",
        f"BN after {after}",
        *variants(config),
        ", ".join([config["optimizer"].upper(), *rate, *extras, f"batches of {config['batch_size']}"]),
    ]


def variants(config: dict[str, Any]) -> list[str]:
    """Write where a network was trained or measured in another way than its source does by default."""
    words = {
        "norm_center_first": "lp norms after the mean is subtracted",
        "noise_in_tests": "noise in tests too",
        "shift_weights_only": "covariate shift: of earlier layers the weights alone move",
    }
    return [phrase for name, phrase in words.items() if config.get(name)]


def length(config: dict[str, Any]) -> str:
    """Name the norm by which scans measure gradients and steps, for an axis."""
    return LENGTHS[config.get("probe_norm", "global")]


def loss(config: dict[str, Any]) -> str:
    """Name the loss that scans evaluate, for an axis."""
    return "cross-entropy + L2 penalty (nats)" if config.get("probe_penalty") else "cross-entropy (nats)"


def deep_linear(config: dict[str, Any]) -> str:
    """Write how a deep linear network was trained, except for its learning rate."""
    return (
        f"deep linear network: {config['depth']} matrices, BN after each, gradient descent on all {config['batch_size']:,} "
        f"examples, {', '.join([plural(len(config['seeds']), 'draw'), f'bands: {bands(config)}', *variants(config)])}"
    )


def bands(config: dict[str, Any]) -> str:
    """Write what the bands of curves over seeds, or draws, are."""
    return "quartiles" if len(config["seeds"]) >= MANY else "smallest to largest"


def place(config: dict[str, Any]) -> str:
    """Write where the distributions of activations are taken."""
    return "after the activation" if config.get("drift_of") == "activations" else "before the activation"


def seeds(config: dict[str, Any]) -> str:
    """Write how many seeds there are."""
    return plural(len(config["seeds"]), "seed")


def images(config: dict[str, Any]) -> str:
    """Write what the inputs are."""
    return f"images {config['image_size']}x{config['image_size']}, inputs '{config['preprocessing']}'"


def scans(config: dict[str, Any]) -> str:
    """Write along what the landscape was scanned, how far and how often."""
    sizes = np.array(config["step_multiples"]) * config["learning_rate"]
    return (
        f"scans every {config['probe_every']} steps, {len(sizes)} step sizes {sizes.min():g} to {sizes.max():g} along "
        "minus the gradient, on the current batch with its own statistics"
    )


def origin(data: dict[str, Any], for_what: str = "training, measurements and tests") -> list[str]:
    """Write where an experiment's data come from: commit, hardware, seconds, date; several where it was resumed."""

    def each(name: str) -> str:
        return ", ".join(dict.fromkeys(str(known[name]) for known in data["provenance"]))

    device = each("device") + (f" ({each('cpu_cores')} cores)" if each("device") == "CPU" else "")
    return [f"commit {each('commit')}", device, f"{data['seconds']:.0f} s for {for_what}", each("date")]
