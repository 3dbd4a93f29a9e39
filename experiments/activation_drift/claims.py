"""Claims about how stable the distributions of layer inputs are while a VGG trains."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from experiments._evidence.claim import Claim, claims
from experiments._evidence.drift import Moment, after_activation, before_activation, followed, over_layers, typical
from experiments._evidence.format import TIMES
from experiments._evidence.run import Data, layer_names
from experiments._evidence.source import IOFFE, SANTURKAR, ours
from experiments._evidence.statistic import BySeed, NotInDataError, Statistic
from experiments._evidence.value import median
from experiments._nets import NETS

_FIG_8 = SANTURKAR.at("Fig. 8a, read off; their text does not say so")
_RELATIVE = ours("absolute changes depend on the scale of the units")
_EVERY = "in every layer followed"
_smallest = partial(over_layers, min, "plain", "batch_norm")
# After batch norm and before the activation, a unit's mean is its bias and its variance the square of its scale.
_OUTPUTS = "pre-activations, after batch norm where there is one,"
_RAW = "distributions of the raw outputs of layers, before batch norm where there is one,"
_BEFORE_NORM = "drift_before_norm"
_OF_ACTIVATIONS = "probes.drift.of", "activations", "drift measured after the activation"
_FIXED = "with batch norm the variance is the square of its scale, whatever the weights before it do"
_SHAPE = (
    "before the activation, batch norm's bias and scale set mean and variance; the weights before it change only the shape of "
    "the distribution"
)
_RECTIFIED = (
    "after a ReLU, mean and variance depend on batch norm's bias and scale and on the shape of the distribution; the weights "
    "before batch norm act only through this shape"
)
_UNNAMED = "the source does not say whether it measures before the activation or after it, so that both are asked"
_UNSET = "raw outputs come before the layer's own bias and scale, but with batch norm their scale is arbitrary"
_WIDE = "a factor of two counts as marginal, and the range reaches down to half as far with batch norm"
# W1 of two batches of normal samples, by the probe's quantiles: 128 values 0.14, normalised 0.10; 32,768 values 0.009.
_OTHER_BATCH = (
    "each measurement is of another batch: that alone moves the 128 values of a dense unit, if normal, by a W1 of {} {}, and "
    "the many values of a convolution's unit far less"
)


def _after_activation(moment: Moment, relative: bool = False) -> Statistic:
    """Compare activations, where any probe follows them."""
    return after_activation(lambda kind: _smallest(moment, relative=relative, kind=kind), _OF_ACTIVATIONS)


def _of_means(relative: bool = False) -> Statistic:
    """Compare means after the activation; its words omit the place, as in the record of claims."""
    words = _smallest("mean", relative=relative).what
    return replace(_after_activation("mean", relative), what=words)


def _before_norm(choose: Callable) -> Statistic:
    """Compare how far layer outputs, taken before the normaliser, have moved since the start."""
    moved = over_layers(choose, "plain", "batch_norm", "wasserstein", "cumulative", kind=_BEFORE_NORM)
    return moved.where(f"probes.{_BEFORE_NORM}.of", "unnormalised", "drift measured before the normaliser")


def _by_depth(net: str) -> Statistic:
    """Return the typical drift of the deepest layer followed as a multiple of the first layer's."""

    def of(data: Data) -> BySeed:
        layers = layer_names(data.get("arms", {}).get(net, []), "drift")
        if not layers:
            raise NotInDataError(f"these data have no drift of {NETS[net].short}")
        deepest, first = (typical(layer, "wasserstein").each(net) for layer in (layers[-1], layers[0]))
        return before_activation(deepest / first).of(data)

    what = f"{typical('', 'wasserstein').words}, deepest layer that is followed / first"
    return Statistic(of, what, NETS[net].short, (f"arms/{net}",), TIMES, part=followed)


CLAIMS = claims(
    "distributions",
    "2026-11-21",
    "for",
    drift_hardly_differs=Claim(
        f"Over the training, the distributions of {_OUTPUTS} move as far with batch norm as in the plain net, to within a "
        "factor of two, in the median layer.",
        SANTURKAR.at("Sec. 2.1, Fig. 1c, by eye"),
        before_activation(over_layers(median, "plain", "batch_norm", "wasserstein", "cumulative")).between(0.5, 2),
        remark=f"the source calls the difference marginal; {_WIDE}, so that it speaks for neither side; {_SHAPE}",
        speaks="neither",
    ),
    drift_stabilised=Claim(
        f"Over the training, the distributions of {_OUTPUTS} move less far with batch norm than in the plain net, {_EVERY}.",
        IOFFE.at("Sec. 4.1, Fig. 1b and c, by eye"),
        before_activation(_smallest("wasserstein", "cumulative")).above(1),
        remark=_SHAPE,
        differs="here a VGG on other images",
        speaks="neither",
    ),
    drift_stabilised_before=Claim(
        f"Over the training, the {_RAW} move less far with batch norm than in the plain net, {_EVERY}.",
        ours("what Ioffe & Szegedy 2015 expect, where batch norm does not set it"),
        _before_norm(min).above(1),
        caveat_of="drift_hardly_differs",
        remark=f"which net moves further was known when the range was fixed; {_UNSET}",
        since="2026-11-30",
        # The hypothesis covers the inputs of every layer, so a single layer that moves further counts against it.
        speaks="for, else against",
    ),
    drift_hardly_differs_before=Claim(
        f"Over the training, the {_RAW} move as far with batch norm as in the plain net, to within a factor of two, in the "
        "median layer.",
        ours("what Santurkar et al. 2018 say, where batch norm does not set it"),
        _before_norm(median).between(0.5, 2),
        caveat_of="drift_stabilised",
        remark=f"{_WIDE}, so that it speaks for neither side; {_UNSET}",
        since="2026-11-30",
        speaks="neither",
    ),
    drift_mean=Claim(
        "In absolute units, the means of activations, after the nonlinearity, change less between measurements with batch "
        f"norm than in the plain net, {_EVERY}.",
        _FIG_8,
        _of_means().above(1),
        "0.032 / 0.002, 0.065 / 0.000 and 0.014 / 0.000 in layers 2, 9 and 13, or 16 to more than 100 times",
        caveat_of="drift_hardly_differs",
        remark=f"{_UNNAMED}; {_RECTIFIED}",
        since="2026-11-29",
        speaks="neither",
    ),
    drift_variance=Claim(
        f"In absolute units, the variances of {_OUTPUTS} change less between measurements with batch norm than in the plain "
        f"net, {_EVERY}.",
        _FIG_8,
        before_activation(_smallest("variance")).above(1),
        "0.015 / 0.004, 0.021 / 0.001 and 0.007 / 0.001 in layers 2, 9 and 13, or 3.8 to 21 times",
        caveat_of="drift_hardly_differs",
        remark=f"{_UNNAMED}; {_FIXED}",
        speaks="neither",
    ),
    drift_variance_active=Claim(
        "In absolute units, the variances of activations, after the nonlinearity, change less between measurements with "
        f"batch norm than in the plain net, {_EVERY}.",
        _FIG_8,
        _after_activation("variance").above(1),
        "0.015 / 0.004, 0.021 / 0.001 and 0.007 / 0.001 in layers 2, 9 and 13, or 3.8 to 21 times",
        caveat_of="drift_hardly_differs",
        remark=f"{_UNNAMED}; {_RECTIFIED}",
        since="2026-11-29",
        speaks="neither",
    ),
    drift_mean_relative=Claim(
        "Relative to each unit's standard deviation, the means of activations, after the nonlinearity, change less between "
        f"measurements with batch norm than in the plain net, {_EVERY}.",
        _RELATIVE,
        _of_means(relative=True).above(1),
        caveat_of="drift_hardly_differs",
        remark=_RECTIFIED,
        since="2026-11-29",
        speaks="neither",
    ),
    drift_variance_relative=Claim(
        f"Relative to their size, the variances of {_OUTPUTS} change less between measurements with batch norm than in the "
        f"plain net, {_EVERY}.",
        _RELATIVE,
        before_activation(_smallest("variance", relative=True)).above(1),
        caveat_of="drift_hardly_differs",
        remark=_FIXED,
        speaks="neither",
    ),
    drift_variance_relative_active=Claim(
        "Relative to their size, the variances of activations, after the nonlinearity, change less between measurements with "
        f"batch norm than in the plain net, {_EVERY}.",
        _RELATIVE,
        _after_activation("variance", relative=True).above(1),
        caveat_of="drift_hardly_differs",
        remark=_RECTIFIED,
        since="2026-11-29",
        speaks="neither",
    ),
    drift_amplifies=Claim(
        "Without batch norm, the distributions of pre-activations move further between measurements in the deepest layer "
        "followed than in the first.",
        IOFFE.at("Sec. 1, text"),
        _by_depth("plain").above(1),
        since="2026-11-29",
        remark=_OTHER_BATCH.format(0.14, "without batch norm")
        + "; at preset evening, layer 10 moves by 0.22 to 0.27 and layer 2 by 0.09 to 0.12; it is about the plain net alone",
        differs="here a VGG",
        speaks="neither",
    ),
    drift_amplifies_less=Claim(
        "With batch norm, the distributions of pre-activations, after batch norm, move less far between measurements in the "
        "deepest layer followed than in the first.",
        ours("what should hold if batch norm works as Ioffe & Szegedy 2015 intend"),
        _by_depth("batch_norm").below(1),
        since="2026-11-29",
        in_doubt=_OTHER_BATCH.format("0.10", "with batch norm"),
        speaks="for, else against",
    ),
)
