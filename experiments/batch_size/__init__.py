"""Batch norm, group norm, layer norm over height, width and channels, instance norm and none, at batches of 2 to 128.

Claim: the smaller the batch, the worse batch norm does; normalisers of single examples hardly depend on it. Group norm beats
batch norm at a batch of 2, and loses from 4 on, or, on ImageNet, from 16 on.
Source: Wu & He 2018; gdd72582's repository and another re-run on CIFAR-10.
Command: TFDS_DATA_DIR=... python -m experiments batch_size --preset cpu
Measured: preset cpu, three seeds, two cores beside much other work, 46 minutes: test accuracy of the VGG at batches of 2 / 4 /
8 / 16 / 32 / 128: batch norm 39.0 / 42.2 / 43.2 / 43.7 / 45.1 / 42.0 %, group norm 37.2 / 35.1 / 37.2 / 37.4 / 37.5 / 24.8 %,
none 38.7 / 36.2 / 37.4 / 38.3 / 40.0 / 32.4 %; of the ResNet at 2 / 128: batch norm 28.4 / 35.4 %, group norm 31.9 / 27.1 %.
Preset cpu takes 5,000 images, layer and instance norm at batches of 2 and 128 alone, and a ResNet of 8 layers.
Presets overnight and paper have not been run.
"""

from dataclasses import dataclass
from typing import Any, Literal

from bnjax.models.shapes import ResNetShape
from experiments._config import (
    GroupNorm,
    Images,
    InstanceNorm,
    NoNorm,
    Norm,
    Optimizer,
    ResNetRun,
    RunConfig,
    Schedule,
    VGGRun,
    change,
    check,
    check_numbers,
)
from experiments._evidence.keep import training
from experiments._nets import Setting
from experiments._presets import arm

Net = Literal["plain", "batch_norm", "group_norm", "one_group", "instance_norm"]
# Nets trained at all batch sizes, and at a few only.
OFTEN: tuple[Net, ...] = ("plain", "batch_norm", "group_norm")
SELDOM: tuple[Net, ...] = ("one_group", "instance_norm")
NETS = OFTEN + SELDOM


@dataclass(frozen=True)
class Config:
    """A VGG and a residual network, with several normalisers and batch sizes, for equal numbers of epochs.

    Attributes:
        vgg: the VGG; its convolutions alone are normalised, since instance norm leaves nothing of a dense layer.
        resnet: the residual network. The learning rates of both nets hold at their own batch size and scale in proportion
            to it; the number of steps follows from the epochs.
        epochs: passes over the training images.
        group_size: neighbouring features in a group of group norm.
        batch_sizes: of VGGs with batch norm, with group norm and without a normaliser.
        few_batch_sizes: of VGGs with layer norm and with instance norm.
        resnet_batch_sizes: of residual networks.
        resnet_nets: normalisers of residual networks.
    """

    vgg: VGGRun
    resnet: ResNetRun
    epochs: int = 10
    group_size: int = 8
    batch_sizes: tuple[int, ...] = (2, 4, 8, 16, 32, 128)
    few_batch_sizes: tuple[int, ...] = (2, 4, 8, 16, 32, 128)
    resnet_batch_sizes: tuple[int, ...] = (2, 128)
    resnet_nets: tuple[Net, ...] = NETS

    def __post_init__(self):
        check_numbers(self, "at least 1", lambda x: x >= 1, "epochs", "group_size")
        most = min(self.vgg.data.num_examples, self.resnet.data.num_examples)
        rule = f"one or more different numbers from 2 to {most:,}, the examples there are"
        sizes = ("batch_sizes", "few_batch_sizes", "resnet_batch_sizes")
        check_numbers(self, rule, lambda x: 2 <= x <= most, *sizes)
        known = f"one or more different ones of {', '.join(NETS)}"
        check(len({*self.resnet_nets}) == len(self.resnet_nets) > 0, "resnet_nets", known, self.resnet_nets)
        for name, run in (("vgg", self.vgg), ("resnet", self.resnet)):
            InstanceNorm.like(run.norm).check_model(run.model, f"{name}.norm.")
            GroupNorm.like(run.norm, group_size=self.group_size).check_model(run.model, "")


_TWICE = Schedule(recalibrated_tests=True)
# At 0.1, the nets with group norm do not learn.
_SGD = Optimizer(learning_rate=0.02, momentum=0.9)
_VGG = change(
    VGGRun(seeds=tuple(range(6)), data=Images(image_size=32, subset=10_000), optimizer=_SGD, schedule=_TWICE),
    model={"width": 0.25, "kernel_init": "he_normal"},
    norm={"layers": tuple(range(1, 9))},
)
_RESNET = ResNetRun(
    seeds=tuple(range(6)),
    data=Images(subset=10_000),
    model=ResNetShape(num_blocks=3, width=8),
    optimizer=_SGD,
    schedule=_TWICE,
)
_PART = {"data": {"subset": 5_000}, "seeds": (0, 1, 2)}
_SMOKE = {"data": {"dataset": "digits", "image_size": 8, "subset": 128}, "optimizer": {"batch_size": 32}, "seeds": (0,)}
_ALL = {"data": {"subset": None}}
PRESETS = {
    "cpu": Config(
        change(_VGG, model={"width": 0.125}, **_PART),
        change(_RESNET, model={"num_blocks": 1}, **_PART),
        epochs=4,
        few_batch_sizes=(2, 128),
        resnet_nets=("batch_norm", "group_norm"),
    ),
    "smoke": Config(
        change(_VGG, model={"width": 0.125}, **_SMOKE),
        change(_RESNET, model={"num_blocks": 1}, **_SMOKE),
        epochs=2,
        batch_sizes=(8, 32),
        few_batch_sizes=(32,),
        resnet_batch_sizes=(32,),
        resnet_nets=("batch_norm", "group_norm"),
    ),
    "overnight": Config(_VGG, _RESNET),
    "paper": Config(
        change(_VGG, model={"width": 1.0}, **_ALL), change(_RESNET, model={"width": 16}, **_ALL), epochs=100
    ),
}

_KEPT: dict[str, Any] = {"train": training(100, "loss", "accuracy")}
KEEP = {"arms": _KEPT, "resnet": _KEPT}


def batch(size: int) -> Setting:
    """Return the setting of a batch size."""
    return Setting(f"b{size}", f"batch {size}")


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name the VGGs and the residual networks by normaliser, then by batch size."""
    vggs = {
        **_nets(config, config.vgg, OFTEN, config.batch_sizes),
        **_nets(config, config.vgg, SELDOM, config.few_batch_sizes),
    }
    return {"arms": vggs, "resnet": _nets(config, config.resnet, config.resnet_nets, config.resnet_batch_sizes)}


def steps_per_epoch(run: RunConfig | VGGRun | ResNetRun, size: int) -> int:
    """Return the number of whole batches in an epoch; left-over images are dropped."""
    return run.data.num_examples // size  # pyright: ignore[reportAttributeAccessIssue]


def _nets(config: Config, run: RunConfig, nets: tuple[Net, ...], sizes: tuple[int, ...]) -> dict[str, RunConfig]:
    """Name one net per normaliser and batch size."""
    norms: dict[Net, Norm] = {
        "plain": NoNorm(),
        "batch_norm": run.norm,
        "group_norm": GroupNorm.like(run.norm, group_size=config.group_size),
        "one_group": GroupNorm.like(run.norm, group_size=None),
        "instance_norm": InstanceNorm.like(run.norm),
    }
    arms = {}
    for size in sizes:
        every = steps_per_epoch(run, size)
        last = config.epochs * every
        rate = run.optimizer.learning_rate * size / run.optimizer.batch_size
        optimizer, schedule = {"batch_size": size, "learning_rate": rate}, run.schedule
        schedule = change(schedule, num_steps=last, eval_every=last, probe_every=every)
        for net in nets:
            arms[batch(size).arm(net)] = arm(run, norm=norms[net], optimizer=optimizer, schedule=schedule)
    return arms
