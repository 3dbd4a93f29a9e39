"""Set-ups in words: the net, data, optimiser, steps and seeds for which a number was measured."""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from experiments._evidence.format import plural
from experiments._evidence.run import Data, Run, num_steps
from experiments._evidence.statistic import NotInDataError, Statistic
from experiments._nets import NETS

OPTIMIZERS = {"sgd": "SGD", "adam": "Adam", "rmsprop": "RMSProp"}
_ACTIVATIONS = {"sigmoid": "sigmoid units", "relu": "ReLU units"}
# Fields of an experiment's configuration by which its nets differ, and the fields of a run's configuration that each replaces.
_VARIED = {
    "activations": ("model", ("activation",)),
    "batch_sizes": ("optimizer", ("batch_size", "learning_rate")),
    "grid_rates": ("optimizer", ("learning_rate", "weight_decay")),
    "blocks": ("model", ("num_blocks",)),
}
_SAME_CONFIG = {"unhalved": "deep_linear"}  # groups that are configured by the field of another one
_SETTING = r"_[\d.]+(e-\d+)?$"  # the end of an arm's name after the net's, such as _0.1
_BATCH = r"_batch_\d+$"  # the end of the name of an arm with its own batch size
_DATA = {"cifar10": "CIFAR-10", "mnist": "MNIST", "digits": "digits of 8 x 8 pixels"}


class Setup(NamedTuple):
    """The set-up in which a statistic was measured.

    Attributes:
        net: kind, depth and width of the net, and the data.
        width: of a VGG or BN-Inception as a share of the published one; 1 for most other nets.
        steps: numbers of steps of the shortest and the longest run that did not diverge.
        seeds: number of values, with the unit, such as seeds or draws.
        training: optimiser, learning rate and batch size; settings that differ between the counted nets are left out.
        part: the measured part of the net, if the data decide it.
        is_untrained: whether the nets were not trained, so that the words state 0 steps.
    """

    net: str
    width: float
    steps: tuple[int, int]
    seeds: str
    training: str = ""
    part: str = ""
    is_untrained: bool = False

    @property
    def words(self) -> str:
        """The whole set-up in one line."""
        has_steps = self.steps[1] > 0 or self.is_untrained
        return ", ".join(filter(None, (self.net, self.part, self.training, self._steps * has_steps, self.seeds)))

    @property
    def size(self) -> str:
        """Width, steps and seeds in one line; the width is relative to the published one only for VGG, BN-Inception."""
        return f"{width_words(self.width)}, {self._steps}, {self.seeds}"

    @property
    def _steps(self) -> str:
        low, high = self.steps
        return plural(high, "step") if low == high else f"{low:,} to {high:,} steps"


def setup(statistic: Statistic, data: Data, num_values: int) -> Setup:
    """Return a statistic's set-up, without parts that the data do not name; without values, only the kind of net.

    Args:
        statistic: the measured statistic.
        data: the data in which it was measured.
        num_values: number of its values.
    """
    try:
        counted = [name.partition("/") for name in statistic.counted(data)]
    except NotInDataError:
        counted = []
    groups = list(dict.fromkeys(group for group, _, _ in counted))
    experiment = data.get("config", {})
    if all(arm in NETS for _, _, arm in counted):  # nets without a batch size in their name have the one of their group
        experiment = {field: value for field, value in experiment.items() if field != "batch_sizes"}
    config = _shared_by_nets(config_of(data, groups[0] if groups else ""), experiment)
    runs: list[Run] = []
    for group, _, arm in counted:
        nets = data.get(group, {})
        runs += [run for name, of_arm in nets.items() if arm in ("", name) for run in of_arm]
    taken = sorted(num_steps(run) for run in runs if num_values and run.get("diverged_at") is None)
    steps = taken or [0]
    width = config.get("model", {}).get("width", 1)
    return Setup(
        _net(config) if num_values else _kind(config),
        float(width) if isinstance(width, int | float) else 1.0,
        (steps[0], steps[-1]),
        plural(num_values, statistic.per) if num_values else "",
        _training(config, [arm for _, _, arm in counted]) if num_values else "",
        statistic.part(data) if num_values and statistic.part else "",
        bool(taken) and steps[-1] == 0,
    )


def width_words(width: float) -> str:
    """Write the width of a net as a share of the published one."""
    share = Fraction(width).limit_denominator(64)
    return "full width" if share == 1 else f"width {share}"


def config_of(data: Data, group: str) -> Mapping[str, Any]:
    """Return the configuration of a group's runs: the field with its name, else the VGG's, else the whole one."""
    config = data.get("config", {})
    own = config.get(_SAME_CONFIG.get(group, group))
    found = own if isinstance(own, Mapping) and own else (config if "model" in config else config.get("vgg")) or config
    return found if isinstance(found, Mapping) else {}


def _shared_by_nets(config: Mapping[str, Any], experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Drop from a run's configuration the fields in which the nets of an experiment differ."""
    shared = dict(config)
    for field, (part, names) in _VARIED.items():
        if field in experiment and isinstance(shared.get(part), Mapping):
            shared[part] = {name: value for name, value in shared[part].items() if name not in names}
    return shared


def _training(config: Mapping[str, Any], arms: Sequence[str]) -> str:
    """Name optimiser, learning rate and batch size; only the batch size for whole groups and for arms with settings.

    Arms that are named after their batch size also have their own learning rates; the statistics that count them say so.
    """
    optimizer = config.get("optimizer")
    if not isinstance(optimizer, Mapping):
        return ""
    has_own = any(re.search(_BATCH, arm) for arm in arms)
    batch = f"batch {optimizer['batch_size']:,}" if "batch_size" in optimizer and not has_own else ""
    if not {"name", "learning_rate"} <= {*optimizer} or any(not arm or _has_setting(arm) for arm in arms):
        return batch
    momentum = f" with momentum {optimizer['momentum']:g}" if optimizer.get("momentum") else ""
    name = f"{OPTIMIZERS.get(optimizer['name'], optimizer['name'])}{momentum}"
    decay = f"weight decay {optimizer['weight_decay']:g}" if optimizer.get("weight_decay") else ""
    rate = f"learning rate {optimizer['learning_rate']:g}".replace("e-0", "e-")
    return ", ".join(filter(None, (name, rate, decay, batch)))


def _has_setting(arm: str) -> bool:
    """Return whether an arm's name has a setting after the net's; `batch_norm_4` is itself the name of a net."""
    return arm not in NETS and bool(re.search(_SETTING, arm))


def _kind(config: Mapping[str, Any]) -> str:
    """Name the kind of net, and its data."""
    model = config.get("model", {})
    images = _images(config.get("data", {}))
    is_perceptron = model.get("hidden") or config.get("widths")
    kind = "VGG" if isinstance(model.get("depth"), str) else "Perceptron" if is_perceptron else ""
    kind = "LSTM" if "recorded_steps" in model else kind
    kind = "ResNet" if {"num_blocks", "skip_init"} & {*model} else kind
    kind = "BN-Inception" if "stem_stride" in model else kind
    kind = "Deep linear network" if isinstance(model.get("depth"), int) else kind
    return ", ".join(filter(None, [kind, images]))


def _net(config: Mapping[str, Any]) -> str:
    """Name a net and its data."""
    model, data = config.get("model", {}), config.get("data", {})
    images = _images(data)
    depth, hidden = model.get("depth"), model.get("hidden")
    if isinstance(depth, str):
        width = width_words(model.get("width", 1))
        return ", ".join(filter(None, [f"VGG-{depth}" if depth.isalpha() else f"VGG of {depth} layers", width, images]))
    if hidden:
        depths = config.get("depths")
        layers = f"{min(depths)} to {max(depths)}" if depths else f"{len(hidden)}"
        units = _ACTIVATIONS.get(model.get("activation", ""), "units")
        net = f"Perceptron of {layers} hidden layers of {hidden[0]} {units}"
        return ", ".join(filter(None, [net, images]))
    if config.get("widths"):  # the nets differ in width
        layers, units = (
            config.get("depth", config.get("num_hidden")),
            [f"{width:,}" for width in sorted(config["widths"])],
        )
        net = f"Perceptron of {layers:,} hidden layers of {' to '.join(dict.fromkeys((units[0], units[-1])))} units"
        return ", ".join(filter(None, [net, images]))
    if "recorded_steps" in model:
        return ", ".join(filter(None, [f"LSTM of {model['features']} units", f"rows of {images}"]))
    if {"num_blocks", "skip_init"} & {*model}:
        number = f"ResNet-{6 * model['num_blocks'] + 2} of" if "num_blocks" in model else "ResNet,"
        return ", ".join(filter(None, [f"{number} width {model['width']}", images]))
    if "stem_stride" in model:
        width = width_words(model["width"])
        return ", ".join(filter(None, [f"BN-Inception, {width}, stem of stride {model['stem_stride']}", images]))
    if isinstance(depth, int):
        return f"Deep linear network of {depth} layers"
    return ""


def _images(data: Mapping[str, Any]) -> str:
    """Name the training images, and their number if they are a subset."""
    name = _DATA.get(data.get("dataset", ""), "")
    if name and data.get("classes"):
        name = f"{len(data['classes'])} of the classes of {name}"
    return f"{data['subset']:,} images of {name}" if name and data.get("subset") else name
