"""Claims about batch norm before and after the activation."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from experiments._evidence.claim import Claim, claims
from experiments._evidence.format import PERCENT
from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Recorded, array
from experiments._evidence.source import IOFFE, Source, ours
from experiments._evidence.statistic import Statistic, smallest
from experiments.norm_order import ACTIVATIONS, setting

_RECIPE = "Adam at 0.001, batch 128, 10 epochs, five runs"
_RE_RUN = Source(
    "gdd72582's repository, notebook Q6 of assignment 1",
    "replication",
    "github.com/gdd72582/AI-Lectures-and-Tutorials",
    f"a net of 8 blocks of 64 channels, {_RECIPE}",
)
_RE_RUN_DENSE = replace(_RE_RUN, setup=f"a dense net with batch norm in its first layer only, {_RECIPE}")
_RE_RUN_BOTH = replace(_RE_RUN, setup=f"a net of 8 blocks, and a dense net with batch norm in one layer, {_RECIPE}")
_CAFFENET = Source(
    "Mishkin et al. 2016 and its repository",
    "paper",
    "arxiv.org/abs/1606.02228",
    "CaffeNet on ImageNet of 128 pixels, one run",
)
_RELU, _SIGMOID, _TANH, _ELU = map(setting, ACTIVATIONS)
_PAIR = ("after", "before")
_REPORTS_NONE = "the source argues that W u + b is closer to a Gaussian, and reports no comparison"
_MNIST = "here the perceptron has batch norm in every hidden layer and is trained on MNIST, where accuracies are higher"


def _of_all_layers(name: str, words: str) -> Quantity:
    """Return a quantity over all hidden units: the mean over layers, weighted by their number of units."""

    def values(record: Recorded) -> np.ndarray:
        layers = record["layers"].values()
        units = np.array([array(layer["units"]) for layer in layers])
        counts = np.array([array(layer[name]) for layer in layers]) * (1 if name == "dead" else units)
        return counts.sum(axis=0) / units.sum(axis=0)

    return Quantity("zero_units", values, words, PERCENT, np.nan)


DEAD = _of_all_layers("dead", "share of dead hidden units")
ZERO = _of_all_layers("zero", "share of zeros among the activations of hidden units")
# The last measurements.
DEAD_AT_END, ZERO_AT_END = DEAD.at_end(), ZERO.at_end()
_END = TEST_ACCURACY.at_end()


class _Window(NamedTuple):
    """The steps at which accuracies are compared.

    Attributes:
        vgg: step of the VGG.
        mlp: step of the perceptron.
        part: suffix of the claims' names.
    """

    vgg: int
    mlp: int
    part: str = ""

    @property
    def accuracies(self) -> tuple[Measure, Measure]:
        """The test accuracies of VGG and perceptron."""
        return TEST_ACCURACY.at(self.vgg), TEST_ACCURACY.at(self.mlp)


def _spread(accuracy: Measure, group: str = "arms") -> Statistic:
    """Divide the difference between seeds with batch norm after the activation by that with it before."""
    after, before = (accuracy.each(net, _RELU, group).between_seeds() for net in _PAIR)
    return after / before


def _over_time(window: _Window) -> dict[str, Claim]:
    """Make the claims about ReLU nets after so many steps."""
    accuracy, dense, part = *window.accuracies, window.part
    when, when_dense = f"After {window.vgg:,} steps", f"After {window.mlp:,} steps"
    gain, gain_dense = accuracy.minus(*_PAIR, _RELU), dense.minus(*_PAIR, _RELU, "mlp")
    return {
        f"order_before{part}": Claim(
            f"{when}, the test accuracy of the convolutional net is higher with batch norm before the ReLU than after it.",
            IOFFE.at("Sec. 3.2"),
            accuracy.minus("before", "after", _RELU).above(0),
            remark=_REPORTS_NONE,
        ),
        f"order_after{part}": Claim(
            f"{when}, the test accuracy of the convolutional net is 1 to 3 points higher with batch norm after the ReLU "
            "than before it.",
            _RE_RUN,
            gain.between(0.01, 0.03),
            "80.7 % and 78.7 %, or +2.0 points; +5.4 points in an earlier experiment of the same notebook; +2.5 in CaffeNet "
            "(Mishkin et al. 2016)",
            caveat_of=f"order_before{part}",
        ),
        f"order_dense{part}": Claim(
            f"{when_dense}, the test accuracies of the perceptron with batch norm after and before the ReLU are within 0.5 "
            "points of each other.",
            _RE_RUN_DENSE,
            gain_dense.within(0.005),
            "55.7 % and 55.8 %, or -0.1 points",
            caveat_of=f"order_after{part}",
            differs=_MNIST,
        ),
        f"order_architecture{part}": Claim(
            f"{when} of the convolutional net on CIFAR-10 and {window.mlp:,} of a perceptron of 3 hidden layers on MNIST, "
            "batch norm after instead of before the ReLU raises the test accuracy of the convolutional net by at least 0.5 "
            "points more than that of the perceptron.",
            _RE_RUN_BOTH,
            (gain - gain_dense).above(0.005),
            "+2.0 and -0.1 points, or +2.1 points; the sign turns in GoogLeNet, with -0.7 to -2.3 points (Mishkin et al. 2016)",
            caveat_of=f"order_after{part}",
            differs=_MNIST,
        ),
        f"order_spread{part}": Claim(
            f"{when}, the test accuracy of the convolutional net differs less between two seeds with batch norm after the "
            "ReLU than before it.",
            _RE_RUN,
            _spread(accuracy).between(0, 1),
            "standard deviations of 0.65 / 1.64 points, or 0.40 times",
        ),
        f"order_spread_dense{part}": Claim(
            f"{when_dense}, the test accuracy of the perceptron differs less between two seeds with batch norm after the "
            "ReLU than before it.",
            _RE_RUN_DENSE,
            _spread(dense, "mlp").between(0, 1),
            "standard deviations of 0.26 / 0.48 points, or 0.54 times",
            differs=_MNIST,
        ),
    }


def _activation(other: str, make: Callable[[Statistic], object], words: str, published: str) -> Claim:
    """Claim how test accuracies with ReLU and another activation differ where batch norm follows the activation."""
    at = setting(other)
    gain = _END.each("after", _RELU) - _END.each("after", at)
    return Claim(
        f"With batch norm after the activation, the convolutional net ends {words}.",
        _CAFFENET,
        make(gain),  # pyright: ignore[reportArgumentType]
        published,
    )


CLAIMS = claims(
    "none",
    "2026-11-29",
    **_over_time(_Window(3900, 4680)),
    **_over_time(_Window(600, 936, "_part")),
    order_after_all=Claim(
        "With each of ReLU, sigmoid, tanh and ELU, the convolutional net ends at a higher test accuracy with batch norm after "
        "the activation than before it.",
        ours("whether the published gain of ReLU nets is one of other activations, too"),
        smallest(*(_END.minus(*_PAIR, setting(activation)) for activation in ACTIVATIONS)).above(0),
    ),
    order_relu_elu=_activation(
        "elu",
        lambda gain: gain.within(0.01),
        "within 1 point of the same test accuracy with ReLU and with ELU",
        "49.9 % and 49.8 %, or +0.1 points",
    ),
    order_relu_sigmoid=_activation(
        "sigmoid",
        lambda gain: gain.above(0),
        "at a higher test accuracy with ReLU than with sigmoid units",
        "49.9 % and 47.5 %, or +2.4 points",
    ),
    order_relu_tanh=_activation(
        "tanh",
        lambda gain: gain.above(0),
        "at a higher test accuracy with ReLU than with tanh units",
        "49.9 % and 44.8 %, or +5.1 points",
    ),
    order_affine_before=Claim(
        "With batch norm before the ReLU, the convolutional nets with and without scale and bias end within 1 point of test "
        "accuracy of each other.",
        _CAFFENET,
        _END.minus("before", "before_fixed", _RELU).within(0.01),
        "47.8 % and 47.4 %, or +0.4 points",
    ),
    order_affine_after=Claim(
        "With batch norm after the ReLU, the convolutional nets with and without scale and bias end within 1 point of test "
        "accuracy of each other.",
        _CAFFENET,
        _END.minus("after", "after_fixed", _RELU).within(0.01),
        "49.3 % and 49.9 %, or -0.6 points",
    ),
    order_dead=Claim(
        "The convolutional net with batch norm after the ReLU ends with a larger share of dead units, which are zero on all "
        "test images, than the one with batch norm before the ReLU.",
        ours("a unit whose input is normalised is positive for some images"),
        DEAD_AT_END.minus("after", "before", _RELU).above(0),
    ),
)
