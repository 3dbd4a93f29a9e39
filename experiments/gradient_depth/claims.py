"""How the size of gradients changes from layer to layer of deep networks, and the claims about it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from experiments._evidence.claim import Claim, claims
from experiments._evidence.format import TIMES, Format
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Arms, Data, Recorded, Run, array, settings
from experiments._evidence.statistic import Statistic, join
from experiments._nets import NETS, Setting
from experiments.gradient_depth import PRESETS, groups, setting

_PUBLISHED = 1.208  # growth per layer at initialisation
_DURATION = "not in the sources: how long the growth lasts"


def norms_at(run: Run, step: int) -> np.ndarray:
    """Return the norm of the gradient by each layer's weights, (layers,); NaN where it was not measured at this step."""
    steps, norms = _quantity(np.transpose, "norms").curve(run)
    return norms[steps == step][0] if step in steps else np.full(norms.shape[1:], np.nan)


def _quantity(of: Callable[[np.ndarray], np.ndarray], words: str, form: Format = Format()) -> Quantity:  # noqa: B008
    """Return a quantity of the norms, (layers, measurements), NaN where float32 made them 0."""

    def values(record: Recorded) -> np.ndarray:
        norms = array(record["norm"]).T
        return of(np.where(norms > 0, norms, np.nan))

    return Quantity("gradients", values, words, form, if_diverged=math.nan)


SECOND = _quantity(lambda norm: norm[1], "norm of the gradient by the weights of layer 2")
LAST = _quantity(lambda norm: norm[-2], "norm of the gradient by the weights of the last hidden layer")
# From the second to the last hidden layer, all have the same shape.
TO_SECOND = _quantity(lambda norm: norm[1] / norm[-2], f"{SECOND.words} / of the last hidden layer", TIMES)
GROWTH = _quantity(
    lambda norm: (norm[1] / norm[-2]) ** (1 / (len(norm) - 3)),
    "growth of the gradient per hidden layer towards the input, geometric mean",
    TIMES,
)
_ROOT = _quantity(lambda norm: norm[1] ** (1 / (len(norm) - 1)), f"{SECOND.words}, to the power of 1 / depth")


def by_setting(arms: Mapping[str, Any]) -> dict[Setting, Arms]:
    """Sort arms by depth and scale, then by net."""
    return {setting(*map(float, name.split("_"))): nets for name, nets in settings(arms).items()}


def _of_nets(build: Callable[[Data], Statistic], who: str) -> Statistic:
    """Build a statistic for the depths and scales that the data have; `who` names the nets in any data."""
    published = build({"config": asdict(PRESETS["paper"]), **groups(PRESETS["paper"])})
    return replace(
        published, of=lambda data: build(data).of(data), who=who, arms=(lambda data: build(data).counted(data),)
    )


def _deepest(measure: Measure, net: str = "batch_norm", scale: float = 1) -> Statistic:
    who = f"{NETS[net].short}, deepest net, weights x {scale:g}"
    return _of_nets(lambda data: measure.each(net, setting(max(data["config"]["depths"]), scale)), who)


def _by_scale(net: str) -> Statistic:
    """Return by what factor per layer the gradient of the deepest net is larger if weights are twice as large."""
    return _deepest(_ROOT.median(0, 0), net, 2) / _deepest(_ROOT.median(0, 0), net)


def _farthest(data: Data) -> Statistic:
    """Take the growth that is farthest from the published one."""
    growths = [GROWTH.median(0, 0).each("batch_norm", at) for at in by_setting(data["arms"])]
    return join(growths, lambda *values: max(values, key=lambda value: abs(value - _PUBLISHED)))


CLAIMS = claims(
    depth_bounded=Claim(
        "Batch norm keeps gradients from exploding or vanishing with depth.",
        'article "Batch normalization vs internal covariate shift"',
        _deepest(TO_SECOND.median(0, 0)).between(0.1, 10),
    ),
    depth_growth=Claim(
        "At initialisation it lets them grow by a fifth per layer, whatever the depth and the scale of the weights.",
        "Yang et al. 2019, mean-field theory; a run of ours before this experiment",
        _of_nets(_farthest, f"BN, of all depths and scales the one that is farthest from {_PUBLISHED}").between(
            1.15, 1.27
        ),
        "2.9 / 0.52, 128 / 0.52 and 5,190 / 0.59 in 10, 30 and 50 layers, or 1.208 times per layer",
        caveat_of="depth_bounded",
    ),
    depth_later=Claim(
        "After 100 steps of training they grow by less than a tenth per layer in the deepest net.",
        _DURATION,
        _deepest(GROWTH.median(100, 100)).between(0.9, 1.1),
        caveat_of="depth_bounded",
    ),
    depth_later_bounded=Claim(
        "That makes them bounded: it is a matter of initialisation.",
        _DURATION,
        _deepest(TO_SECOND.median(100, 100)).between(0.1, 10),
        caveat_of="depth_bounded",
    ),
    depth_scale_plain=Claim(
        "Without batch norm, gradients vanish or explode with the scale of the initial weights, layer by layer.",
        "Ioffe & Szegedy 2015, Sec. 3.3; a run of ours before this experiment",
        _by_scale("plain").between(1.8, 2.2),
        "7·10¹⁴ / 0.72 in 50 layers, or 2.0 times per layer",
    ),
    depth_scale=Claim(
        "With batch norm they do not.",
        "Ioffe & Szegedy 2015, Sec. 3.3",
        _by_scale("batch_norm").between(0.95, 1.05),
        "no difference",
    ),
)
