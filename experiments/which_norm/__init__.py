"""All normalisers, and none: does performance go with a smooth landscape, little covariate shift, or little drift?

Claim: batch norm works because it makes the landscape smoother, not because it reduces internal covariate shift; so normalisers
do the better the smoother their landscapes, and not the steadier their distributions.
Source: Santurkar et al. 2018, Sec. 3, for smoothness; Ioffe & Szegedy 2015 for covariate shift; the article "Batch
normalization vs internal covariate shift" against that. None of them ranks normalisers, which Huber's article asks for.
Command: TFDS_DATA_DIR=... python -m experiments which_norm --preset cpu
Measured: preset cpu, three seeds, 500 steps, two cores beside much other work, 69 minutes: over the 13 nets, the rank
correlation of test accuracy with the range of the loss along the gradient is +0.09, with relative covariate shift -0.21, with
drift -0.58. The net with dynamic tanh learns nothing at this learning rate. Instance norm follows convolutions alone, since
it leaves nothing of a dense layer. Presets overnight and paper have not been run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from experiments._config import (
    BatchNorm,
    BatchRenorm,
    DyT,
    GhostBatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LpNorm,
    Noise,
    NoisyBatchNorm,
    NoNorm,
    Norm,
    RunConfig,
    Schedule,
    VGGRun,
    change,
    check,
)
from experiments._evidence.keep import by_layer, drift, scans, training
from experiments._presets import (
    CPU,
    OVERNIGHT_SHORT,
    PAPER,
    SMOKE,
    SMOKE_MULTIPLES,
    arm,
    fields_of,
    following,
    following_everywhere,
)

Net = Literal[
    "plain",
    "batch_norm",
    "noisy_batch",
    "ghost_batch",
    "renorm",
    "l1",
    "l2",
    "linf",
    "layer_norm",
    "group_norm",
    "one_group",
    "instance_norm",
    "dyt",
]
# The nets by what their normaliser's statistics are computed over.
NO_STATISTICS: tuple[Net, ...] = ("plain", "dyt")
OF_BATCHES: tuple[Net, ...] = ("batch_norm", "noisy_batch", "ghost_batch", "renorm", "l1", "l2", "linf")
OF_EXAMPLES: tuple[Net, ...] = ("layer_norm", "group_norm", "one_group", "instance_norm")
NETS: tuple[Net, ...] = ("plain", *OF_BATCHES, *OF_EXAMPLES, "dyt")
_LP: dict[str, Literal[1, 2, "inf"]] = {"l1": 1, "l2": 2, "linf": "inf"}


@dataclass(frozen=True)
class Config(VGGRun):
    """A VGG with each normaliser.

    Attributes:
        nets: those to train; the claims need all of them.
        noise: of noisy batch norm.
        renorm: bounds of batch renorm, which has the momentum and epsilon of the batch norm.
        ghost_size: examples per ghost batch in ghost batch norm.
        group_size: neighbouring features in a group of group norm.
        alpha: initial alpha of dynamic tanh.
    """

    nets: tuple[Net, ...] = NETS
    noise: Noise = Noise()
    renorm: BatchRenorm = BatchRenorm(r_max=1.5, d_max=0.5)
    ghost_size: int = 16
    group_size: int = 8
    alpha: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        check(type(self.norm) is BatchNorm, "norm", "batch, of which the others take their settings", self.norm.kind)
        is_known = len({*self.nets}) == len(self.nets) > 0 and {*self.nets} <= {*NETS}
        check(is_known, "nets", f"one or more different ones of {', '.join(NETS)}", self.nets)
        batch = self.optimizer.batch_size
        is_part = 1 <= self.ghost_size < batch and batch % self.ghost_size == 0
        check(is_part, "ghost_size", f"a divisor of the batch size, {batch:,}, and smaller", self.ghost_size)
        GroupNorm.like(self.norm, group_size=self.group_size).check_model(self.model, "")
        check(
            bool(self.convolutions), "norm.layers", "'all' or numbers of which one is a convolution's", self.norm.layers
        )
        DyT(alpha=self.alpha)

    @property
    def convolutions(self) -> tuple[int, ...]:
        """Convolutions that are normalised."""
        return tuple(layer for layer in range(1, self.model.num_convolutions + 1) if self.norm.follows(layer))


def _measured(run: VGGRun) -> VGGRun:
    """Add measurements of the covariate shift and of the drift after the activation."""
    layers = {"layers": run.probes.drift.layers}
    measured = run.measuring(*{*run.probes.kinds, "shift", "drift_after_activation"})
    return change(measured, probes={"drift_after_activation": layers})


_CPU = change(CPU, schedule=Schedule(num_steps=500, eval_every=500, probe_every=50))
_PAPER = following(change(PAPER, seeds=(0, 1, 2)), 2, 9, 12, penalty=True)
PRESETS = {
    "cpu": Config(**fields_of(_measured(following(_CPU, 3, 8, 10)))),
    "smoke": Config(
        **fields_of(_measured(following(SMOKE, 3, 8, 10, step_multiples=SMOKE_MULTIPLES))),
        nets=("plain", "batch_norm", "instance_norm", "dyt"),
        ghost_size=4,
        group_size=4,
    ),
    "overnight": Config(**fields_of(_measured(following_everywhere(OVERNIGHT_SHORT, 2, 3, 8, 10)))),
    "paper": Config(**fields_of(_measured(_PAPER))),
}

_DRIFT = drift("successive")
KEEP: dict[str, Any] = {
    "arms": {
        "train": training(250, "loss", "accuracy"),
        "landscape": scans("loss", "gradient_distance", "smoothness", ends=True),
        "shift": by_layer("difference", "relative_difference", "cosine"),
        "drift": _DRIFT,
        "drift_after_activation": _DRIFT,
    }
}


def norms(config: Config) -> Mapping[str, Norm]:
    """Return the normaliser of each net, with the settings that it shares with batch norm."""
    own, renorm = config.norm, config.renorm
    return {
        "plain": NoNorm(),
        "batch_norm": own,
        "noisy_batch": NoisyBatchNorm.like(own, noise=config.noise),
        "ghost_batch": GhostBatchNorm.like(own, ghost_size=config.ghost_size),
        "renorm": BatchRenorm.like(own, r_max=renorm.r_max, d_max=renorm.d_max),
        **{net: LpNorm.like(own, p=p) for net, p in _LP.items()},
        "layer_norm": LayerNorm.like(own),
        "group_norm": GroupNorm.like(own, group_size=config.group_size),
        "one_group": GroupNorm.like(own, group_size=None),
        "instance_norm": InstanceNorm.like(own, layers=config.convolutions),
        "dyt": DyT.like(own, alpha=config.alpha),
    }


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name the nets after their normalisers."""
    return {"arms": {net: arm(config, norm=norm) for net, norm in norms(config).items() if net in config.nets}}
