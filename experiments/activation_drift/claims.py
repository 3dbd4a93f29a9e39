"""Claims about how stable the distributions of layer inputs are while a VGG trains."""

from functools import partial

from experiments._evidence.claim import Claim, claims
from experiments._evidence.drift import followed, over_layers, typical
from experiments._evidence.format import TIMES
from experiments._evidence.run import Data, layer_names
from experiments._evidence.source import IOFFE, SANTURKAR, ours
from experiments._evidence.statistic import BySeed, Criterion, NotInDataError, Statistic
from experiments._evidence.value import median
from experiments._nets import NETS

_FIG_8 = SANTURKAR.at("Fig. 8a, read off; their text does not say so")
_RELATIVE = ours("absolute changes depend on the scale of the units")
_EVERY = "in every layer followed"
_smallest = partial(over_layers, min, "plain", "batch_norm")
# Before the activation and after the normaliser, a mean is the bias of batch norm, which is steady whatever the inputs do.
_AFTER = "probes.drift.of", "activations", "drift measured after the activation"


def _of_means(relative: bool = False) -> Criterion:
    """Compare means where batch norm does not fix them."""
    return _smallest("mean", relative=relative).where(*_AFTER).above(1)


def _by_depth(net: str) -> Statistic:
    """Divide the typical drift of the deepest layer that is followed by that of the first."""

    def of(data: Data) -> BySeed:
        layers = layer_names(data.get("arms", {}).get(net, []), "drift")
        if not layers:
            raise NotInDataError(f"these data have no drift of {NETS[net].short}")
        deepest, first = (typical(layer, "wasserstein").each(net) for layer in (layers[-1], layers[0]))
        return (deepest / first).of(data)

    what = f"{typical('', 'wasserstein').words}, deepest layer that is followed / first"
    return Statistic(of, what, NETS[net].short, (f"arms/{net}",), TIMES, part=followed)


CLAIMS = claims(
    "distributions",
    "2026-11-21",
    "for",
    drift_hardly_differs=Claim(
        "Over the training, the units' distributions move as far with batch norm as in the plain net, to within a factor "
        "of two, in the median layer.",
        SANTURKAR.at("Sec. 2.1, Fig. 1c, by eye"),
        over_layers(median, "plain", "batch_norm", "wasserstein", "cumulative").between(0.5, 2),
        remark="the text calls the difference marginal; a factor of two counts as that",
        speaks="against",
    ),
    drift_stabilised=Claim(
        f"Over the training, the units' distributions move less far with batch norm than in the plain net, {_EVERY}.",
        IOFFE.at("Sec. 4.1, Fig. 1b and c, by eye"),
        _smallest("wasserstein", "cumulative").above(1),
        differs="here a VGG on other images",
    ),
    drift_mean=Claim(
        "In absolute units, the means of activations change less between measurements with batch norm than in the plain "
        f"net, {_EVERY}.",
        _FIG_8,
        _of_means(),
        "0.032 / 0.002, 0.065 / 0.000 and 0.014 / 0.000, or 16 to more than 100 times",
        caveat_of="drift_hardly_differs",
        remark="after the activation: before it, the mean with batch norm is its bias",
        since="2026-11-29",
    ),
    drift_variance=Claim(
        "In absolute units, the units' variances change less between measurements with batch norm than in the plain net, "
        f"{_EVERY}.",
        _FIG_8,
        _smallest("variance").above(1),
        "0.015 / 0.004, 0.021 / 0.001 and 0.007 / 0.001, or 3.8 to 21 times",
        caveat_of="drift_hardly_differs",
    ),
    drift_mean_relative=Claim(
        "Relative to each unit's standard deviation, the means of activations change less between measurements with batch "
        f"norm than in the plain net, {_EVERY}.",
        _RELATIVE,
        _of_means(relative=True),
        caveat_of="drift_hardly_differs",
        remark="after the activation: before it, the mean with batch norm is its bias",
        since="2026-11-29",
    ),
    drift_variance_relative=Claim(
        "Relative to their size, the units' variances change less between measurements with batch norm than in the plain "
        f"net, {_EVERY}.",
        _RELATIVE,
        _smallest("variance", relative=True).above(1),
        caveat_of="drift_hardly_differs",
    ),
    drift_amplifies=Claim(
        "Without batch norm, changes amplify with depth: between measurements, the units' distributions move further in "
        "the deepest layer followed than in the first.",
        IOFFE.at("Sec. 1, text"),
        _by_depth("plain").above(1),
        since="2026-11-29",
        differs="here a VGG",
        speaks="for, else against",
    ),
    drift_amplifies_less=Claim(
        "With batch norm, changes do not amplify with depth: between measurements, the units' distributions move less far "
        "in the deepest layer followed than in the first.",
        ours("what should hold if batch norm works as Ioffe & Szegedy 2015 intend"),
        _by_depth("batch_norm").below(1),
        since="2026-11-29",
        speaks="for, else against",
    ),
)
