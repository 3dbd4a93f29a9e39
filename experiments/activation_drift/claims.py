"""Claims about how stable the distributions of layer inputs are while a VGG trains."""

from functools import partial

from experiments._evidence.claim import Claim, claims
from experiments._evidence.drift import over_layers, typical
from experiments._evidence.format import TIMES
from experiments._evidence.run import Data, layer_names
from experiments._evidence.source import IOFFE, SANTURKAR, ours
from experiments._evidence.statistic import BySeed, Criterion, NotInDataError, Statistic
from experiments._evidence.value import median
from experiments._nets import NETS

_FIG_8 = SANTURKAR.at("Fig. 8a, read off; their text does not say so")
_RELATIVE = ours("absolute shifts depend on how large activations are")
_EVERY = "in every layer that is followed"
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
    return Statistic(of, what, NETS[net].short, (f"arms/{net}",), TIMES)


CLAIMS = claims(
    "distributions",
    "2026-11-21",
    drift_hardly_differs=Claim(
        "Batch norm changes the stability of layer inputs little: over the training, their distributions move about as far as "
        "in the plain net.",
        SANTURKAR.at("Sec. 2.1, Fig. 1c, by eye"),
        over_layers(median, "plain", "batch_norm", "wasserstein", "cumulative").between(0.5, 2),
        remark="in these units an eye sees the distance; little is less than a factor of two",
    ),
    drift_stabilised=Claim(
        f"Batch norm makes the distributions of layer inputs more stable than they are in the plain net, {_EVERY}.",
        IOFFE.at("Sec. 4.1, Fig. 1b and c, by eye"),
        _smallest("wasserstein", "cumulative").above(1),
        differs="here a VGG on other images",
    ),
    drift_mean=Claim(
        f"In absolute units, the means of layer inputs are steadier with batch norm than in the plain net, {_EVERY}.",
        _FIG_8,
        _of_means(),
        "0.032 / 0.002, 0.065 / 0.000 and 0.014 / 0.000, or 16 to more than 100 times",
        caveat_of="drift_hardly_differs",
        remark="after the activation: before it, the mean with batch norm is its bias",
        since="2026-11-29",
    ),
    drift_variance=Claim(
        f"In absolute units, the variances of layer inputs are steadier with batch norm than in the plain net, {_EVERY}.",
        _FIG_8,
        _smallest("variance").above(1),
        "0.015 / 0.004, 0.021 / 0.001 and 0.007 / 0.001, or 3.8 to 21 times",
        caveat_of="drift_hardly_differs",
    ),
    drift_mean_relative=Claim(
        "In units of each unit's own standard deviation, the means of layer inputs are steadier with batch norm than in the "
        f"plain net, {_EVERY}.",
        _RELATIVE,
        _of_means(relative=True),
        caveat_of="drift_hardly_differs",
        remark="after the activation: before it, the mean with batch norm is its bias",
        since="2026-11-29",
    ),
    drift_variance_relative=Claim(
        "As a share of what they are, the variances of layer inputs are steadier with batch norm than in the plain net, "
        f"{_EVERY}.",
        _RELATIVE,
        _smallest("variance", relative=True).above(1),
        caveat_of="drift_hardly_differs",
    ),
    drift_amplifies=Claim(
        "Without batch norm, small changes amplify with depth: distributions move further from one measurement to the next in "
        "the deepest layer that is followed than in the first.",
        IOFFE.at("Sec. 1, text"),
        _by_depth("plain").above(1),
        since="2026-11-29",
        differs="here a VGG",
    ),
    drift_amplifies_less=Claim(
        "With batch norm, changes do not amplify with depth: distributions move no further from one measurement to the next in "
        "the deepest layer that is followed than in the first.",
        ours("what follows if batch norm does what Ioffe & Szegedy 2015 want of it"),
        _by_depth("batch_norm").below(1),
        since="2026-11-29",
    ),
)
