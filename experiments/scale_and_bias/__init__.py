"""Scale and bias of batch norm: their initial value, which of them is trained, and what they can do alone.

Claim: scale and bias restore what normalisation takes away, so nets with them reach a higher accuracy; the landscape is as
smooth without them, since normalisation makes it so. A net whose weights stay as they were drawn learns from its scales and
biases alone, and the better the deeper it is.
Source: Ioffe & Szegedy 2015, Sec. 3; Santurkar et al. 2018, Theorem 4.1; Frankle et al. 2021; the question is Huber's. Public
re-runs give numbers for fixed biases, and for residual networks of which scale and bias alone are trained.
Command: TFDS_DATA_DIR=... python -m experiments scale_and_bias --preset cpu
Measured: preset cpu, three seeds, 600 steps, two cores beside other work, 36 minutes: without scale and bias the loss varies
along the gradient as much as with them, and a third as much as without BN, so that normalising is what smooths. Test accuracy
is 51.4 % with both and 47.6 % without, but seeds disagree, and 44.9 % from an initial scale of 0.1. Scales that stay at 0.1,
0.5, 1 or 2 give 42.4, 53.6, 52.6 and 49.5 %. Trained alone, scale and bias reach 23 % in the VGG and 27, 28 and 31 % in ResNets
of 8, 14 and 32 layers. All nets start from He weights. The net whose scale stays at 1 and whose bias stays at 0 is that
without both: the function and its gradients are the same. In residual networks the learning rate stays as it is, where the
sources lower it twice.
"""

from dataclasses import dataclass
from typing import Any

from bnjax.models.shapes import ResNetShape
from experiments._config import (
    BatchNorm,
    NoNorm,
    Optimizer,
    ResNetRun,
    RunConfig,
    Schedule,
    VGGRun,
    change,
    check,
    check_arms,
    check_numbers,
)
from experiments._evidence.keep import by_layer, scans, training
from experiments._nets import Setting
from experiments._presets import CPU, OVERNIGHT_SHORT, PAPER, SMOKE, SMOKE_MULTIPLES, arm, scanning

SCALES = (0.1, 0.5, 1.0, 2.0)
USUAL = 1.0  # initial scale


@dataclass(frozen=True)
class Config:
    """A VGG with scales and biases initialised and trained in several ways, and residual networks training only these.

    Attributes:
        vgg: the net with batch norm, whose scales start at 1.
        resnet: the residual network; its depth is not used.
        scales: initial scales of the nets that train all parameters; 1 is among them.
        fixed_scales: scales held fixed in nets that train all other parameters.
        blocks: residual blocks in each of the three stages; a network has 6 blocks + 2 layers.
    """

    vgg: VGGRun
    resnet: ResNetRun
    scales: tuple[float, ...] = SCALES
    fixed_scales: tuple[float, ...] = SCALES
    blocks: tuple[int, ...] = (2, 5, 9)

    def __post_init__(self):
        rule = "one or more different numbers > 0 and finite"
        check_numbers(self, rule, lambda x: 0 < x < float("inf"), "scales", "fixed_scales")
        check_arms(self, "scales", "fixed_scales")
        for name in ("scales", "fixed_scales"):
            check(USUAL in getattr(self, name), name, "numbers of which one is 1, as usual", getattr(self, name))
        check_numbers(self, "two or more different numbers from 1", lambda x: x >= 1, "blocks")
        check(len(self.blocks) > 1, "blocks", "two or more different numbers from 1", self.blocks)
        for name, run in (("vgg", self.vgg), ("resnet", self.resnet)):
            norm: Any = run.norm
            check(type(norm) is BatchNorm, f"{name}.norm", "batch, whose scales and biases are compared", norm.kind)
            check(norm.affine, f"{name}.norm.affine", "True: nets without scale and bias are among them", norm.affine)
            check(norm.initial_scale == USUAL, f"{name}.norm.initial_scale", "1; see scales", norm.initial_scale)
            check(not run.optimizer.trained, f"{name}.optimizer.trained", "empty, all", run.optimizer.trained)


def _measured(run: VGGRun, **settings: Any) -> VGGRun:
    """Measure the landscape and the scales."""
    return scanning(run.measuring("landscape", "scales"), **settings)


_HE = {"kernel_init": "he_normal"}
# As in the re-run, without its lower learning rates at the end; the penalty acts on scales and biases, which are trained.
_SGD = Optimizer(learning_rate=0.1, momentum=0.9, weight_decay=1e-4)
_EPOCH = 390  # steps of 128 images
_RESNET = ResNetRun(
    optimizer=_SGD,
    schedule=Schedule(160 * _EPOCH, eval_every=10 * _EPOCH, probe_every=2 * _EPOCH, recalibrated_tests=True),
    seeds=(0, 1, 2),
).measuring("scales")
PRESETS = {
    "cpu": Config(
        _measured(change(CPU, model=_HE, schedule=Schedule(600, 300, 50, recalibrated_tests=True))),
        change(
            _RESNET,
            model={"width": 8},
            optimizer={"batch_size": 64},
            schedule=Schedule(600, 600, 50, recalibrated_tests=True),
        ),
        blocks=(1, 2, 5),
    ),
    "smoke": Config(
        _measured(change(SMOKE, model=_HE), step_multiples=SMOKE_MULTIPLES),
        change(
            _RESNET,
            data={"dataset": "digits"},
            model={"width": 2},
            optimizer={"batch_size": 16},
            schedule=Schedule(40, eval_every=40, probe_every=10),
            seeds=(0,),
        ),
        scales=(0.1, USUAL),
        fixed_scales=(USUAL,),
        blocks=(1, 2),
    ),
    "overnight": Config(
        _measured(change(OVERNIGHT_SHORT, model=_HE)),
        change(
            _RESNET,
            model={"width": 8},
            schedule=Schedule(5500, eval_every=1000, probe_every=100, recalibrated_tests=True),
        ),
    ),
    "paper": Config(
        _measured(change(PAPER, model=_HE, seeds=(0, 1, 2), schedule={"recalibrated_tests": True}), penalty=True),
        change(_RESNET, model=ResNetShape()),
        blocks=(2, 5, 9, 18, 36),
    ),
}

_TRAINED: dict[str, Any] = {
    "train": training(100, "loss", "accuracy"),
    "scales": by_layer("scale", "ratio", "small", "units"),
}
KEEP: dict[str, Any] = {
    "arms": {**_TRAINED, "landscape": scans("loss", "gradient_distance", "smoothness", ends=True)},
    "alone": _TRAINED,
    "resnet": _TRAINED,
}


def initial(scale: float) -> Setting:
    """Return the setting of an initial scale."""
    return Setting(f"x{scale:g}", f"initial scale {scale:g}")


def depth(blocks: int) -> Setting:
    """Return the setting of a residual network's depth."""
    layers = ResNetShape(num_blocks=blocks).num_layers
    return Setting(f"d{layers}", f"ResNet-{layers}")


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name the VGGs by initial scale and by what is fixed, and the VGG and residual networks that train no weights."""
    vgg, norm = config.vgg, config.vgg.norm
    arms = {"plain": arm(vgg, norm=NoNorm()), "no_affine": arm(vgg, norm={"affine": False})}
    arms["fixed_bias"] = arm(vgg, optimizer={"trained": "all_but_biases"})
    for scale in config.scales:
        arms[initial(scale).arm("batch_norm")] = arm(vgg, norm=BatchNorm.like(norm, initial_scale=scale))
    for scale in config.fixed_scales:
        fixed = BatchNorm.like(norm, initial_scale=scale)
        arms[initial(scale).arm("fixed_scale")] = arm(vgg, norm=fixed, optimizer={"trained": "all_but_scales"})
    alone = arm(vgg.measuring("scales"), optimizer={"trained": "norms"})
    resnets = {
        depth(blocks).arm("norms_only"): arm(
            config.resnet, model={"num_blocks": blocks}, optimizer={"trained": "norms"}
        )
        for blocks in config.blocks
    }
    return {"arms": arms, "alone": {"norms_only": alone}, "resnet": resnets}
