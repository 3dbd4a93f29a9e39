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
from experiments._evidence.source import IOFFE, VERSUS, YANG, ours
from experiments._evidence.statistic import NotInDataError, Statistic, join
from experiments._nets import NETS, Setting
from experiments.gradient_depth import PRESETS, groups, setting

# sqrt(pi / (pi - 1)): growth per layer in ReLU nets of infinite width, far from the output.
_PUBLISHED = math.sqrt(math.pi / (math.pi - 1))
_NEAR_OUTPUT = 10  # layers next to the output, in which growth is smaller
_DURATION = replace(YANG.at("abstract: after a single step"), setup="")
_DURATION_LATER = replace(YANG.at("abstract, which says so of a single step"), setup="")
_LATE, _LATER = "2026-11-22", "2026-11-29"
_TOLERANCE = "the source gives no number in its abstract; 10 % per layer is ours"


def norms_at(run: Run, step: int) -> np.ndarray:
    """Return the gradient norm for each layer's weights, (layers,); NaN if it was not measured at this step."""
    steps, norms = _quantity(np.transpose, "norms").curve(run)
    return norms[steps == step][0] if step in steps else np.full(norms.shape[1:], np.nan)


def _quantity(of: Callable[[np.ndarray], np.ndarray], words: str, form: Format = Format()) -> Quantity:  # noqa: B008
    """Return a quantity of the norms, (layers, measurements), which are NaN where they underflowed to 0 in float32."""

    def values(record: Recorded) -> np.ndarray:
        norms = array(record["norm"]).T
        return of(np.where(norms > 0, norms, np.nan))

    return Quantity("gradients", values, words, form, if_diverged=math.nan)


def _growth(norm: np.ndarray) -> np.ndarray:
    """Return the geometric mean growth per layer, from the last to the first; NaN for fewer than two layers."""
    return (norm[0] / norm[-1]) ** (1 / (len(norm) - 1)) if len(norm) > 1 else np.full(norm.shape[1:], np.nan)


SECOND = _quantity(lambda norm: norm[1], "norm of the gradient by the weights of layer 2")
LAST = _quantity(lambda norm: norm[-2], "norm of the gradient by the weights of the last hidden layer")
# The second to the last hidden layer all have the same shape.
TO_SECOND = _quantity(lambda norm: norm[1] / norm[-2], f"{SECOND.words} / of the last hidden layer", TIMES)
GROWTH = _quantity(
    lambda norm: _growth(norm[1:-1]),
    "growth of the gradient per hidden layer towards the input, geometric mean",
    TIMES,
)
GROWTH_BEYOND = _quantity(
    lambda norm: _growth(norm[1 : len(norm) - 1 - _NEAR_OUTPUT]),
    f"growth of the gradient per hidden layer towards the input, beyond the {_NEAR_OUTPUT} nearest to the output, geometric "
    "mean",
    TIMES,
)
_ROOT = _quantity(lambda norm: norm[1] ** (1 / (len(norm) - 1)), f"{SECOND.words}, to the power of 1 / depth")


def by_setting(arms: Mapping[str, Any]) -> dict[Setting, Arms]:
    """Sort arms by depth and scale, then by net."""
    return {setting(*map(float, name.split("_"))): nets for name, nets in settings(arms).items()}


def _of_nets(build: Callable[[Data], Statistic], who: str) -> Statistic:
    """Build a statistic from the depths and scales in the data; `who` names the nets independently of the data."""
    published = build({"config": asdict(PRESETS["paper"]), **groups(PRESETS["paper"])})
    return replace(
        published, of=lambda data: build(data).of(data), who=who, arms=(lambda data: build(data).counted(data),)
    )


def _deepest(measure: Measure, net: str = "batch_norm", scale: float = 1, group: str = "arms") -> Statistic:
    who = f"{NETS[net].short}, deepest net, weights x {scale:g}{', orthogonal' * (group == 'orthogonal')}"
    return _of_nets(lambda data: measure.each(net, setting(max(data["config"]["depths"]), scale), group), who)


def _by_scale(net: str) -> Statistic:
    """Return the factor per layer by which doubling the weights enlarges the deepest net's gradient."""
    return _deepest(_ROOT.median(0, 0), net, 2) / _deepest(_ROOT.median(0, 0), net)


def _farthest(data: Data) -> Statistic:
    """Return the growth that is farthest from the published value, over all nets that are deep enough."""
    deep = [at for at in by_setting(data["arms"]) if float(at.suffix.partition("_")[0]) > _NEAR_OUTPUT + 1]
    if not deep:
        raise NotInDataError(f"needs nets of more than {_NEAR_OUTPUT + 1} hidden layers")
    growths = [GROWTH_BEYOND.median(0, 0).each("batch_norm", at) for at in deep]
    return join(growths, lambda *values: max(values, key=lambda value: abs(value - _PUBLISHED)))


_NOT_ENDED = "the source says that the range becomes much smaller, not that growth ends"
CLAIMS = claims(
    "none",
    "2026-11-22",
    depth_bounded=Claim(
        "At initialisation, with batch norm, the gradients of the weights of the second and the last hidden layer of the "
        "deepest net differ in norm by less than a factor of ten.",
        VERSUS,
        _deepest(TO_SECOND.median(0, 0)).between(0.1, 10),
        remark="the source gives no number; a factor of ten is ours",
    ),
    depth_growth=Claim(
        "At initialisation, with batch norm, gradients grow by a factor of 1.17 to 1.22 per layer towards the input, beyond "
        "the ten hidden layers nearest to the output, in every net tried that has more than 11 hidden layers, from weights of "
        "every scale tried.",
        YANG,
        _of_nets(_farthest, f"BN, of all depths and scales the one that is farthest from {_PUBLISHED:.3f}").between(
            1.17, 1.22
        ),
        "sqrt(pi / (pi - 1)), or 1.211 times per layer",
        caveat_of="depth_bounded",
        since=_LATER,
    ),
    depth_first_step=Claim(
        "After one step of training, with batch norm, gradients change by less than 10 % per layer towards the input, on "
        "geometric average, in the deepest net.",
        _DURATION,
        _deepest(GROWTH.median(1, 1), group="first_step").between(0.9, 1.1),
        "gradients have dramatically smaller range after a single step",
        caveat_of="depth_bounded",
        in_doubt=_NOT_ENDED,
        remark=_TOLERANCE,
        since=_LATER,
    ),
    depth_first_step_range=Claim(
        "With batch norm, one step of training makes the gradient of the second hidden layer's weights, relative to that of "
        "the last one's, less than a fifth as large in the deepest net.",
        _DURATION,
        (
            _deepest(TO_SECOND.median(1, 1), group="first_step") / _deepest(TO_SECOND.median(0, 0), group="first_step")
        ).below(0.2),
        "gradients have dramatically smaller range after a single step",
        remark="the source gives no number; a fifth is ours",
        since="2026-11-30",
    ),
    depth_orthogonal=Claim(
        "At initialisation, with batch norm and orthogonal weights, gradients grow by less than a factor of 1.17 per layer "
        "towards the input in the deepest net, beyond the ten hidden layers nearest to the output.",
        ours("a control: whether the growth depends on Gaussian weights"),
        _deepest(GROWTH_BEYOND.median(0, 0), group="orthogonal").below(1.17),
        caveat_of="depth_growth",
        since=_LATER,
    ),
    depth_later=Claim(
        "After 100 steps of training, with batch norm, gradients change by less than 10 % per layer towards the input, on "
        "geometric average, in the deepest net.",
        _DURATION_LATER,
        _deepest(GROWTH.median(100, 100)).between(0.9, 1.1),
        "gradients have dramatically smaller range after a single step",
        caveat_of="depth_bounded",
        in_doubt=_NOT_ENDED,
        remark=_TOLERANCE,
    ),
    depth_later_bounded=Claim(
        "After 100 steps of training, with batch norm, the gradients of the weights of the second and the last hidden layer "
        "of the deepest net differ in norm by less than a factor of ten.",
        ours("whether training bounds the gradient, which explodes at initialisation"),
        _deepest(TO_SECOND.median(100, 100)).between(0.1, 10),
        caveat_of="depth_bounded",
        since="2026-11-22",
    ),
    depth_scale_plain=Claim(
        "At initialisation, doubling the weights multiplies the gradient of the deepest plain net by a factor of 1.8 to 2.2 "
        "per layer.",
        replace(IOFFE.at("Sec. 3.3"), setup=""),
        _by_scale("plain").between(1.8, 2.2),
    ),
    depth_scale=Claim(
        "At initialisation, with batch norm, doubling the weights changes the gradient of the deepest net by less than 5 % "
        "per layer.",
        replace(IOFFE.at("Sec. 3.3"), setup=""),
        _by_scale("batch_norm").between(0.95, 1.05),
        "no difference in back-propagation, proved",
    ),
)
