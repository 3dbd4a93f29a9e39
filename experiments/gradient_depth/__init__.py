"""How large gradients are from layer to layer of a deep perceptron, with and without batch norm, at initialisation and later.

Claim: batch norm keeps gradients from exploding or vanishing with depth; what it does at initialisation is to make their size
independent of the scale of the weights, and to let it grow by a fifth per layer, until the first step has been taken.
Source: the article "Batch normalization vs internal covariate shift" for the claim; Yang et al. 2019, in mean-field theory, for
its counter-example.
Command: TFDS_DATA_DIR=... python -m experiments gradient_depth --preset cpu
Measured: preset cpu, three seeds, two cores beside much other work, 22 minutes: with BN the gradient grows 1.20 times per
layer at initialisation, from weights of any scale and from orthogonal ones, 1.15 times after one step, so that layer 2's is
720 in place of 6,900 times the last one's, and 1.05 times after 100 steps. Preset paper, ten seeds, beside other work in 37
minutes, 21 of them for the runs of preset cpu: 1.20, 1.15 and 1.06 times; 710 in place of 6,400 times the last one's.
"""

import itertools
from dataclasses import dataclass
from typing import Any

from bnjax.models.shapes import MLPShape
from experiments._config import (
    BatchNorm,
    Images,
    MLPRun,
    Optimizer,
    RunConfig,
    Schedule,
    change,
    check_arms,
    check_numbers,
)
from experiments._nets import Setting
from experiments._presets import fields_of, with_and_without


@dataclass(frozen=True)
class Config(MLPRun):
    """A perceptron of several depths, and the deepest one from weights of several scales.

    Attributes:
        depths: numbers of hidden layers, one per net; they replace the model's, whose first entry is the width.
        scales: factors on the initial weights, including 1; they replace the model's.
    """

    depths: tuple[int, ...] = (10, 30, 50)
    scales: tuple[float, ...] = (0.5, 1.0, 2.0)

    def __post_init__(self):
        super().__post_init__()
        check_numbers(self, "one or more different numbers from 3", lambda x: x >= 3, "depths")
        rule = "different numbers > 0 and finite, 1 among them"
        check_numbers(self, rule, lambda x: 0 < x < float("inf") and 1 in self.scales, "scales")
        check_arms(self, "scales")

    def check_layers(self, prefix: str = "") -> None:
        """Check nothing: every net has its own depth, and is measured in all of its layers."""


_RUN = MLPRun(
    model=MLPShape(hidden=(256,), activation="relu", kernel_init="he_normal"),
    data=Images("mnist", "meanstd"),
    norm=BatchNorm(momentum=0.99),
    optimizer=Optimizer(learning_rate=0.01, batch_size=256),
    # A measurement at a step is taken before its update.
    schedule=Schedule(num_steps=101, eval_every=100, probe_every=100),
).measuring("successive_gradients")
_SMOKE = change(
    _RUN,
    model={"hidden": (16,)},
    data={"dataset": "digits"},
    optimizer={"batch_size": 64},
    schedule=Schedule(num_steps=11, eval_every=10, probe_every=10),
)

PRESETS = {
    "cpu": Config(**fields_of(change(_RUN, seeds=(0, 1, 2)))),
    "smoke": Config(**fields_of(_SMOKE), depths=(4, 8), scales=(0.5, 1.0)),
    "paper": Config(**fields_of(change(_RUN, seeds=tuple(range(10))))),
}


def setting(depth: float, scale: float = 1) -> Setting:
    """Return the setting of a depth, and of a scale of the initial weights."""
    return Setting(f"{depth:g}_{scale:g}", f"{depth:g} layers, weights x {scale:g}")


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name the nets: every depth at scale 1, and the deepest net at every scale.

    The deepest nets at scale 1 are also measured after their first step, and at initialisation from orthogonal weights.
    """
    arms, measured = {}, {"successive_gradients"} & {*config.probes.kinds}
    for depth, scale in itertools.product(config.depths, config.scales):
        if scale == 1 or depth == max(config.depths):
            model = {"hidden": config.model.hidden[:1] * depth, "kernel_scale": scale}
            layers = {kind: {"layers": tuple(range(1, depth + 2))} for kind in measured}
            nets = with_and_without(change(config, model=model, probes=layers))
            arms |= {setting(depth, scale).arm(net): run for net, run in nets.items()}
    at, first = setting(max(config.depths)), Schedule(num_steps=2, eval_every=2, probe_every=1)
    deepest = {arm: change(arms[arm], schedule=first) for arm in map(at.arm, ("plain", "batch_norm"))}
    start = change(first, num_steps=1, eval_every=1)
    orthogonal = {arm: change(run, schedule=start, model={"kernel_init": "orthogonal"}) for arm, run in deepest.items()}
    return {"arms": arms, "first_step": deepest, "orthogonal": orthogonal}


def _norms(record: Any, _rank: int) -> dict[str, Any]:
    """Keep the norm of the gradient with respect to each layer's weights, (measurements, layers)."""
    layers = [layer["previous_norm"] for name, layer in record["layers"].items() if name != "all"]
    return {"step": record["step"], "norm": [list(norms) for norms in zip(*layers, strict=True)]}


_GRADIENTS = {"gradients": ("successive_gradients", _norms)}
KEEP = {"arms": _GRADIENTS, "first_step": _GRADIENTS, "orthogonal": _GRADIENTS}
