"""Set-ups in words: on which net and data, with which optimiser, for how many steps and seeds a number was measured."""

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
# Fields of an experiment's configuration over which its nets differ, and what of a run's configuration it takes the place of.
_VARIED = {
    "activations": ("model", ("activation",)),
    "batch_sizes": ("optimizer", ("batch_size", "learning_rate")),
    "grid_rates": ("optimizer", ("learning_rate", "weight_decay")),
    "blocks": ("model", ("num_blocks",)),
}
_SETTING = r"_[\d.]+(e-\d+)?$"  # what the name of an arm has after the net's, such as _0.1
_BATCH = r"_batch_\d+$"  # at the end of the name of an arm that has a batch size of its own
_DATA = {"cifar10": "CIFAR-10", "mnist": "MNIST", "digits": "digits of 8 x 8 pixels"}


class Setup(NamedTuple):
    """What a statistic was measured on.

    Attributes:
        net: kind, depth and width of the net, and the data.
        width: of a VGG or BN-Inception as a share of the published one; of most other nets 1.
        steps: that the shortest and the longest run took, of those that did not diverge.
        seeds: how many there are, of what they are.
        training: optimiser, learning rate and batch size; what differs between the nets that are counted is left out.
        part: what of the net is measured, where the data decide that.
        is_untrained: whether nobody trained the nets, so that it says so.
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
        """All in one line."""
        has_steps = self.steps[1] > 0 or self.is_untrained
        return ", ".join(filter(None, (self.net, self.part, self.training, self._steps * has_steps, self.seeds)))

    @property
    def size(self) -> str:
        """Width, steps and seeds in one line; the width is a share of the published one for a VGG or BN-Inception alone."""
        return f"{width_words(self.width)}, {self._steps}, {self.seeds}"

    @property
    def _steps(self) -> str:
        low, high = self.steps
        return plural(high, "step") if low == high else f"{low:,} to {high:,} steps"


def setup(statistic: Statistic, data: Data, num_values: int) -> Setup:
    """Return what a statistic was measured on; parts that the data do not name are left out, without values all but the kind.

    Args:
        statistic: that was measured.
        data: it was measured in.
        num_values: how many values it has.
    """
    try:
        counted = [name.partition("/") for name in statistic.counted(data)]
    except NotInDataError:
        counted = []
    groups = list(dict.fromkeys(group for group, _, _ in counted))
    experiment = data.get("config", {})
    if all(arm in NETS for _, _, arm in counted):  # nets that are named after no batch size have that of their group
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
    """Return the configuration of a group's runs: the field of its name, else that of the VGG, else all of it."""
    config = data.get("config", {})
    own = config.get(group)
    found = own if isinstance(own, Mapping) and own else (config if "model" in config else config.get("vgg")) or config
    return found if isinstance(found, Mapping) else {}


def _shared_by_nets(config: Mapping[str, Any], experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a run's configuration the fields in which the nets of an experiment differ."""
    shared = dict(config)
    for field, (part, names) in _VARIED.items():
        if field in experiment and isinstance(shared.get(part), Mapping):
            shared[part] = {name: value for name, value in shared[part].items() if name not in names}
    return shared


def _training(config: Mapping[str, Any], arms: Sequence[str]) -> str:
    """Name optimiser, learning rate and batch size; the batch size alone of whole groups and of arms of several settings.

    Arms that are named after their batch size have learning rates of their own, too; what counts them says so.
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
    """Return whether the name of an arm has a setting after the net's; the net of `batch_norm_4` is called so."""
    return arm not in NETS and bool(re.search(_SETTING, arm))


def _kind(config: Mapping[str, Any]) -> str:
    """Name what kind of net it is, and its data."""
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
    if config.get("widths"):  # of nets that differ in it
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
    """Name the training images, and how many of them there are where they are a part."""
    name = _DATA.get(data.get("dataset", ""), "")
    if name and data.get("classes"):
        name = f"{len(data['classes'])} of the classes of {name}"
    return f"{data['subset']:,} images of {name}" if name and data.get("subset") else name
