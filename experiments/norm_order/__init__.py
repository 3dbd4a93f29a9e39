"""Batch norm before or after the activation, with and without its scale and bias, for four activations.

Claim: batch norm was introduced before the activation; in convolutional nets it often does better after it, by one to three
points, in dense ones it makes no difference.
Source: Ioffe & Szegedy 2015, Sec. 3.2, for the place before; Mishkin et al. 2016 and gdd72582's repository for the place after.
Command: TFDS_DATA_DIR=... python -m experiments norm_order --preset cpu
Measured: preset cpu, two cores beside other work, 37 minutes: test accuracy of the VGG (600 steps, three seeds) before / after
ReLU 53.3 / 49.1 %, sigmoid 29.1 / 56.5 %, tanh 49.1 / 48.7 %, ELU 58.6 / 57.9 %; of the perceptron (936 steps, six seeds) with
ReLU 97.2 / 96.6 %, with sigmoid 94.3 / 96.4 %. Preset cpu leaves out, of nets without scale and bias, those whose activation is
not ReLU. Preset cpu_long, ReLU alone, ten epochs, 19 minutes: 69.1 / 69.0 % with the VGG, where seeds disagree on the sign,
and 97.9 / 97.5 % with the perceptron; so in neither does the place after the activation gain a point. Presets overnight and
paper have not been run.
"""

from dataclasses import dataclass
from typing import Any

from bnjax.models.shapes import Activation, MLPShape
from experiments._config import Images, MLPRun, Optimizer, RunConfig, Schedule, VGGRun, change, check
from experiments._evidence.keep import training, whole
from experiments._nets import Setting
from experiments._presets import OVERNIGHT, SMOKE, arm

ACTIVATIONS: tuple[Activation, ...] = ("relu", "sigmoid", "tanh", "elu")
LABELS = {"relu": "ReLU", "sigmoid": "sigmoid", "tanh": "tanh", "elu": "ELU"}


@dataclass(frozen=True)
class Config:
    """A VGG and a perceptron, each with its normaliser before and after several activations.

    Attributes:
        vgg: the VGG; its position of the normaliser and its activation are ignored.
        mlp: the perceptron, likewise.
        activations: those with which both nets are trained.
        without_affine: the subset with which both nets are also trained without scale and bias.
    """

    vgg: VGGRun
    mlp: MLPRun
    activations: tuple[Activation, ...] = ACTIVATIONS
    without_affine: tuple[Activation, ...] = ACTIVATIONS

    def __post_init__(self):
        check(bool(self.activations), "activations", f"one or more of {', '.join(ACTIVATIONS)}", self.activations)
        for name in ("activations", "without_affine"):
            values = getattr(self, name)
            check(len({*values}) == len(values), name, "different activations", values)
        for name, run in (("vgg", self.vgg), ("mlp", self.mlp)):
            rule = "one that can do without scale and bias: batch, noisy_batch or lp"
            check(hasattr(run.norm, "affine"), f"{name}.norm", rule, run.norm.kind)


_ADAM = Optimizer("adam", 1e-3)
# Ten epochs each, of CIFAR-10 and of MNIST.
_VGG = change(
    OVERNIGHT,
    optimizer=_ADAM,
    schedule=Schedule(num_steps=3900, eval_every=300, probe_every=300),
    seeds=tuple(range(6)),
).measuring("zero_units")
_MLP = MLPRun(
    model=MLPShape(),
    data=Images("mnist", "meanstd"),
    optimizer=_ADAM,
    schedule=Schedule(num_steps=4680, eval_every=468, probe_every=468),
    seeds=tuple(range(6)),
).measuring("zero_units")
_CPU = change(
    _VGG,
    model={"width": 0.125},
    optimizer={"batch_size": 64},
    schedule=Schedule(num_steps=600, eval_every=600, probe_every=300),
    seeds=(0, 1, 2),
)
_SHORT = Schedule(num_steps=40, eval_every=20, probe_every=20)
_SMOKE = change(SMOKE, optimizer=Optimizer("adam", 1e-3, batch_size=16), schedule=_SHORT).measuring("zero_units")
_SMOKE_MLP = change(
    _MLP,
    model={"hidden": (16, 16)},
    data={"dataset": "digits"},
    optimizer={"batch_size": 16},
    schedule=_SHORT,
    seeds=(0,),
)

PRESETS = {
    "cpu": Config(_CPU, change(_MLP, schedule={"num_steps": 936}), without_affine=("relu",)),
    "cpu_long": Config(change(_VGG, model={"width": 0.125}, seeds=(0, 1, 2)), _MLP, ("relu",), ()),
    "smoke": Config(_SMOKE, _SMOKE_MLP, ("relu",), ("relu",)),
    "overnight": Config(_VGG, _MLP),
    "paper": Config(change(_VGG, model={"width": 1.0}), _MLP),
}

_KEPT: dict[str, Any] = {"train": training(100, "loss", "accuracy"), "zero_units": whole}
KEEP = {"arms": _KEPT, "mlp": _KEPT}


def setting(activation: str) -> Setting:
    """Return the setting of an activation."""
    return Setting(activation, LABELS[activation])


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name the VGGs and the perceptrons by position of the normaliser, then by activation."""
    return {"arms": _nets(config, config.vgg), "mlp": _nets(config, config.mlp)}


def _nets(config: Config, run: RunConfig) -> dict[str, RunConfig]:
    nets = {}
    for activation in config.activations:
        for is_affine in (True, False) if activation in config.without_affine else (True,):
            for place in ("before", "after"):
                model = {"norm_position": place, "activation": activation}
                name = setting(activation).arm(place if is_affine else f"{place}_fixed")
                nets[name] = arm(run, model=model, norm={"affine": is_affine})
    return nets
