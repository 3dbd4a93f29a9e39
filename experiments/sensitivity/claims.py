"""Claims about the range of learning rates, initial weights, the line search, a single batch norm, and Adam."""

from dataclasses import replace
from typing import NamedTuple

from experiments._evidence.claim import Claim, claims
from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.run import Data
from experiments._evidence.source import BJORCK, IOFFE, VERSUS, Source, ours
from experiments._evidence.statistic import BySeed, NotInDataError, Statistic, smallest
from experiments._nets import learning_rate
from experiments.sensitivity import SCALES, STARTS, Start, start
from experiments.sensitivity.quantities import (
    EXPLODED,
    GAINING,
    LARGEST_PUBLISHED,
    LOWEST,
    TRAINED,
    best,
    decades,
    gain_at_smallest_rate,
    gains_where_plain_explodes,
    largest_rate,
    loss_at,
    share_of_last,
    spread_over,
)

_COURSE = Source(
    "re-runs of a course exercise, among others lrond's and XizhuHuang's",
    "replication",
    "github.com/lrond/PJ2_2026 and github.com/XizhuHuang/DATA130011.01",
    "VGG-A on CIFAR-10, Adam, 20 epochs, one seed each, lrond's at the best held-out epoch",
)
_IOFFE = replace(IOFFE.at("Sec. 3.3"), setup="")
_LAARHOVEN = "the effective learning rate, which is divided by their squared length (van Laarhoven 2017)"
_RESNET = "here a VGG-A"
_PAIR = ("batch_norm", "plain")
_RATES, _SMOOTHNESS = "learning rates", "smoothness"
_FLOOR = "a net that guesses from most initial weights has test accuracies that lie close together"
_HALF = 0.49  # decades: neighbouring learning rates, which are rounded to three digits, are 0.4997 or 0.5003 apart
# The re-runs' gains in test accuracy from batch norm, by Adam's learning rate.
_GAINS = {1e-4: (0.008, 0.017), 5e-4: (0.018, 0.05), 1e-3: (0.041, 0.068), 2e-3: (0.096, 0.108)}
# lrond's, augmented, on test images at the best held-out epoch; XizhuHuang's at the last one, it seems without augmentation.
_LOCATED = {1e-4: (0.8, -0.4), 5e-4: (2.2, 2.8), 1e-3: (5.4, 6.8), 2e-3: (9.6, 9.2)}
_ADAM_STEPS = 20 * 390


class _Window(NamedTuple):
    """The steps at which nets are compared.

    Attributes:
        steps: of the nets at each learning rate.
        level: the training loss below which they count as trained.
        start_steps: of the nets from other initial weights.
        part: suffix of the claims' names.
        remark: the reason for that loss.
        in_doubt: why the net with one batch norm may do better than observed.
    """

    steps: int
    level: float
    start_steps: int
    part: str
    remark: str
    in_doubt: str = ""


_WHOLE = _Window(
    1950, TRAINED[1950], 1950, "", "the loss is averaged over 50 steps; 1.5 is well below ln 10, that of a guess"
)
_PART = _Window(
    300,
    TRAINED[300],
    150,
    "_part",
    "the loss is averaged over 50 steps; 2 is 0.3 below ln 10, that of a guess, since 1.5 takes more steps",
    "the net with one batch norm does best at the smallest learning rate that it was trained with",
)


def _of_rates(window: _Window) -> dict[str, Claim]:
    """Make the claims about learning rates of SGD after so many steps."""
    part, loss, accuracy = window.part, loss_at(window.steps), TEST_ACCURACY.at(window.steps)
    when, trains = f"After {window.steps:,} steps", f"reaches a training loss below {window.level:g}"
    ranges, largest = ([of(net, loss, window.level) for net in _PAIR] for of in (decades, largest_rate))
    return {
        f"sensitivity_range{part}": Claim(
            f"{when}, the largest and the smallest learning rate with which the net {trains} are at least half a decade "
            "further apart with batch norm than without.",
            VERSUS,
            (ranges[0] - ranges[1]).above(_HALF),
            hypothesis=_RATES,
            speaks="for",
            repeats="sensitivity_range" if part else None,
            remark=f"{window.remark}; learning rates are half a decade apart",
        ),
        f"sensitivity_largest{part}": Claim(
            f"{when}, the largest learning rate with which the net {trains} is larger with batch norm than without.",
            _IOFFE,
            (largest[0] / largest[1]).above(1),
            "without batch norm, Inception does not train at five times its learning rate",
            hypothesis=_RATES,
            speaks="for, else against",
            repeats=f"sensitivity_range{part}",  # this is its upper end
            remark=window.remark,
        ),
        f"sensitivity_gain{part}": Claim(
            f"{when}, with each net at its best learning rate, the test accuracy is higher with batch norm than without.",
            BJORCK,
            (best("batch_norm", accuracy) - best("plain", accuracy)).above(0),
            "93.3 % and about 82 %, or +11 points",
            hypothesis=_RATES,
            speaks="neither",
            differs=_RESNET,
        ),
        f"sensitivity_smallest{part}": Claim(
            f"{when}, batch norm raises the test accuracy by less than half a point at the smallest learning rate with which "
            f"the plain net {trains}.",
            BJORCK,
            gain_at_smallest_rate(loss, accuracy, window.level).below(0.005),
            "81.3 % with batch norm and about 82 % without, or -0.7 points",
            caveat_of=f"sensitivity_gain{part}",
            repeats="sensitivity_smallest" if part else None,
            remark="the source compares nets trained to the end; here their lead in speed counts too",
            hypothesis=_RATES,
            speaks="neither",
            differs=_RESNET,
        ),
        f"sensitivity_last{part}": Claim(
            f"{when}, with each net at its best learning rate, a single batch norm, after the last hidden layer, gains more "
            "than half as much test accuracy over the plain net as batch norm after every hidden layer.",
            BJORCK,
            share_of_last(accuracy).above(0.5),
            "about two thirds",
            differs=_RESNET,
            in_doubt=window.in_doubt,
        ),
    }


def _of_starts(window: _Window) -> dict[str, Claim]:
    """Make the claims about initial weights after so many steps."""
    part, accuracy, when = window.part, TEST_ACCURACY.at(window.start_steps), f"After {window.start_steps:,} steps"

    def spread(starts: tuple[Start, ...]) -> Statistic:
        return spread_over(starts, "batch_norm", accuracy) - spread_over(starts, "plain", accuracy)

    usual, large = (accuracy.each("batch_norm", start(name), "starts") for name in ("x1", "x10"))
    return {
        f"sensitivity_scale{part}": Claim(
            f"{when}, the test accuracies from He's initial weights times 0.1, 0.3, 1, 3 and 10 lie less far apart with batch "
            "norm than without.",
            VERSUS,
            spread(SCALES).below(0),
            in_doubt=_FLOOR,
        ),
        f"sensitivity_scale_step{part}": Claim(
            f"{when}, the test accuracy with batch norm is lower from He's initial weights times 10 than from He's initial "
            "weights.",
            ours(f"the scale of weights before batch norm sets {_LAARHOVEN}"),
            (usual - large).above(0),
            caveat_of=f"sensitivity_scale{part}",
        ),
        f"sensitivity_starts{part}": Claim(
            f"{when}, the test accuracies from eight kinds of initial weights (He's times 0.1, 0.3, 1, 3 and 10, normal ones "
            "of standard deviation 0.01 and 1, and orthogonal ones) lie less far apart with batch norm than without.",
            VERSUS,
            spread(tuple(STARTS)).below(0),
            in_doubt=_FLOOR,
        ),
    }


def _adam(rate: float) -> Statistic:
    """Return the gain in test accuracy from batch norm with Adam at a learning rate."""
    gain = TEST_ACCURACY.at(_ADAM_STEPS).minus(*_PAIR, learning_rate(rate, "adam"), "adam")

    def of(data: Data) -> BySeed:
        if not data.get("adam"):
            raise NotInDataError("needs nets trained with Adam, as preset overnight has, ran SGD alone")
        return gain.of(data)

    return replace(gain, of=of)


def _of_adam() -> dict[str, Claim]:
    """Claim at each learning rate of Adam by how much batch norm raises the test accuracy."""
    return {
        f"sensitivity_adam_{rate:g}".replace(".", "_"): Claim(
            f"With Adam at learning rate {rate:g}, batch norm raises the test accuracy after {_ADAM_STEPS:,} steps by "
            f"{100 * low:g} to {100 * high:g} points.",
            _COURSE,
            _adam(rate).between(low, high),
            f"+{100 * low:g} to +{100 * high:g} points in eight re-runs whose addresses are not known; "
            f"{_LOCATED[rate][0]:+g} in lrond's, with augmentation, {_LOCATED[rate][1]:+g} in XizhuHuang's, it seems without",
            hypothesis=_RATES,
            speaks="neither",
        )
        for rate, (low, high) in _GAINS.items()
    }


_GROWTH = [_adam(rate) - _adam(before) for before, rate in zip(list(_GAINS), list(_GAINS)[1:], strict=False)]

CLAIMS = claims(
    "none",
    "2026-11-29",
    **_of_rates(_WHOLE),
    **_of_rates(_PART),
    **_of_starts(_WHOLE),
    **_of_starts(_PART),
    sensitivity_explodes=Claim(
        "At minibatch 1, 4 or 7, some step size of at most 0.1 along minus the gradient multiplies the loss of the net "
        "without batch norm by more than 1,000.",
        BJORCK,
        LARGEST_PUBLISHED.each("plain", group="line").above(EXPLODED),
        "beyond step sizes of about 0.002",
        hypothesis=_SMOOTHNESS,
        speaks="for",
        differs=_RESNET,
    ),
    sensitivity_line=Claim(
        "At each of minibatches 1, 4 and 7, some step size along minus the gradient, the same for all three, lowers the loss "
        "with batch norm and multiplies it by more than 1,000 without.",
        BJORCK,
        gains_where_plain_explodes().above(1),
        "step sizes between about 0.002 and 0.1",
        hypothesis=_SMOOTHNESS,
        speaks="for",
        remark="step sizes go beyond the published 0.1, up to which the loss of a VGG-A need not explode",
        differs=_RESNET,
    ),
    sensitivity_lowest=Claim(
        "In the median over minibatches 1, 4 and 7, the step size along minus the gradient with the smallest loss is 0.02 to "
        "0.1 with batch norm.",
        BJORCK,
        LOWEST.each("batch_norm", group="line").between(0.02, 0.1),
        "0.02 to 0.1",
        hypothesis=_SMOOTHNESS,
        speaks="neither",
        differs=_RESNET,
    ),
    sensitivity_further=Claim(
        "The largest step size along minus the gradient that lowers the loss of each of minibatches 1, 4 and 7 is larger with "
        "batch norm than without.",
        BJORCK,
        GAINING.over(*_PAIR, group="line").above(1),
        "the loss is smallest at 0.02 to 0.1 with batch norm, and explodes beyond about 0.002 without",
        hypothesis=_SMOOTHNESS,
        speaks="neither",
        remark="at preset cpu, minibatch 1 sets the limit without batch norm; at 4 and 7, step sizes as large as with batch "
        "norm, or larger, lower the loss",
        differs=_RESNET,
    ),
    **_of_adam(),
    sensitivity_adam_grows=Claim(
        f"With Adam, batch norm raises the test accuracy after {_ADAM_STEPS:,} steps by more at each of the learning rates "
        "0.0005, 0.001 and 0.002 than at the next smaller one, beginning at 0.0001.",
        _COURSE,
        smallest(*_GROWTH).above(0),
        "+0.8, +2.2, +5.4 and +9.6 points in lrond's; -0.4, +2.8, +6.8 and +9.2 in XizhuHuang's",
        hypothesis=_RATES,
        speaks="for",
    ),
    sensitivity_adam_nothing=Claim(
        f"With Adam at learning rate 0.0001, batch norm raises the test accuracy after {_ADAM_STEPS:,} steps by less than "
        "half a point.",
        BJORCK,
        _adam(1e-4).below(0.005),
        "81.3 % with batch norm and about 82 % without, with SGD at 0.0001, or -0.7 points",
        caveat_of="sensitivity_adam_grows",
        hypothesis=_RATES,
        speaks="for, else against",
        differs="here a VGG-A and Adam",
    ),
)
