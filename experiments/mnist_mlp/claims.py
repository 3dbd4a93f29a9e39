"""Claims about networks of sigmoids on MNIST, with and without batch norm."""

from experiments._evidence.claim import Claim, claims
from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.source import HUBER, IOFFE, Source, ours
from experiments.mnist_mlp.percentiles import ACCURACY, FIRST_SPREAD, SPREAD_RANGE, WIDENING, steadiness

_FIG_1A, _FIG_1BC = IOFFE.at("Sec. 4.1, Fig. 1a"), IOFFE.at("Sec. 4.1, Fig. 1b and 1c, read off")
_RE_RUN = Source(
    "J. Tan's repository batch-normalization, computed from its data",
    "replication",
    "github.com/tanjeffreyz/batch-normalization",
    "its MNIST network, Adam, one run",
)
_OURS = ours("a control")
_TOO_WIDE = 1.0364 * 59**0.5
_UNIT = "the input of a sigmoid in the last hidden layer"
_MEDIAN = f"the median over test images of {_UNIT}"
_IN_BATCHES = "with batch norm, evaluated with mini-batch statistics, than in the plain net"
_HIS = "In the setting of Huber 2020,"
_HIS_NORM = "his batch norm, whose variance is too small,"
_STABLE = "distributions"
_SET = (
    "the bias and the scale of batch norm set the mean and the variance of its output; the weights before it change only the "
    "shape of the distribution"
)


def _in_evaluation(name: str, moves: str, statistic: str) -> Claim:
    return Claim(
        f"From step 500 on, {_MEDIAN} {moves} with batch norm, evaluated with running statistics, than in the plain net.",
        ours("a control: running averages with momentum 0.99 lag behind weights that move fast"),
        steadiness(statistic, "running").over("plain", "batch_norm", group="ioffe").above(1),
        caveat_of=name,
        hypothesis=_STABLE,
        speaks="neither",
    )


CLAIMS = claims(
    "none",
    "2026-11-21",
    mnist_early_accuracy=Claim(
        "After 4,000 steps, the test accuracy is more than 2 points higher with batch norm than without.",
        _FIG_1A,
        TEST_ACCURACY.at(4000).minus("batch_norm", "plain", group="ioffe").above(0.02),
        "95.3 - 73.2 %, or 22 points",
    ),
    mnist_steps=Claim(
        "The net with batch norm reaches a test accuracy of 95 % in fewer steps than the plain one.",
        _FIG_1A.at("read off"),
        TEST_ACCURACY.steps_to(0.95, points=1).over("plain", "batch_norm", group="ioffe").above(1),
        "15,000 / 4,000, or 3.8 times",
    ),
    mnist_accuracy=Claim(
        "After 50,000 steps, the test accuracy is more than 0.2 points higher with batch norm than without.",
        _FIG_1A.at("read off"),
        ACCURACY.at(50_000).minus("batch_norm", "plain", group="ioffe").above(0.002),
        "98.2 - 97.25 %, or 0.95 points",
    ),
    mnist_stable_range=Claim(
        f"From step 500 on, {_MEDIAN} covers a smaller range {_IN_BATCHES}.",
        _FIG_1BC,
        steadiness("range").over("plain", "batch_norm", group="ioffe").above(1),
        "1.34 / 0.33, or 4 times, of one unit",
        remark=_SET,
        hypothesis=_STABLE,
        speaks="neither",
    ),
    mnist_stable_range_running=_in_evaluation("mnist_stable_range", "covers a smaller range", "range"),
    mnist_stable_relative=Claim(
        f"From step 500 on, relative to the width of the distribution, {_MEDIAN} covers a smaller range {_IN_BATCHES}.",
        IOFFE.at("Sec. 4.1, Fig. 1b and 1c, computed from what can be read off"),
        steadiness("relative_range").over("plain", "batch_norm", group="ioffe").above(1),
        "1.1 / 0.20, or 6 times, of one unit",
        remark=_SET,
        hypothesis=_STABLE,
        speaks="neither",
    ),
    mnist_stable_widening=Claim(
        f"The distribution of {_UNIT} widens by a larger factor over the training {_IN_BATCHES}.",
        _RE_RUN,
        WIDENING.over("batch_norm", "plain", group="ioffe").above(1),
        "5.9 / 2.2, or 2.7 times, of all units of the last hidden layer",
        caveat_of="mnist_stable_range",
        since="2026-11-29",
        differs="in the source one mean and one variance normalise all units of a layer, the outputs are sigmoids, and the "
        "first measurement is after an epoch",
        remark=f"without batch norm, small initial weights make the first distribution narrow, so that it widens far; {_SET}",
        hypothesis=_STABLE,
        speaks="neither",
    ),
    mnist_stable_variation=Claim(
        f"From step 500 on, {_MEDIAN} has a smaller total variation {_IN_BATCHES}.",
        IOFFE.at("Sec. 4.1, Fig. 1b and 1c"),
        steadiness("variation").over("plain", "batch_norm", group="ioffe").above(1),
        remark=_SET,
        hypothesis=_STABLE,
        speaks="neither",
    ),
    mnist_stable_variation_running=_in_evaluation(
        "mnist_stable_variation", "has a smaller total variation", "variation"
    ),
    mnist_smooth=Claim(
        f"From step 500 on, {_MEDIAN} fluctuates less around its moving average {_IN_BATCHES}.",
        HUBER.at("on Fig. 1 of Ioffe & Szegedy 2015"),
        steadiness("roughness").over("plain", "batch_norm", group="ioffe").above(1),
        remark=_SET,
        hypothesis=_STABLE,
        speaks="neither",
    ),
    mnist_smooth_running=_in_evaluation("mnist_smooth", "fluctuates less around its moving average", "roughness"),
    mnist_huber_early_accuracy=Claim(
        f"{_HIS} the test accuracy after 1,000 steps is higher with {_HIS_NORM} than without.",
        HUBER.at("Fig. 2 and notebook, where it is called training accuracy"),
        TEST_ACCURACY.at(1000).minus("huber", "plain", group="huber").above(0),
        "78.6 - 73.6 %, or 5.0 points",
    ),
    mnist_huber_accuracy=Claim(
        f"{_HIS} the test accuracy after 10,000 steps is higher with {_HIS_NORM} than without.",
        HUBER.at("Fig. 2 and notebook"),
        TEST_ACCURACY.at(10_000).minus("huber", "plain", group="huber").above(0),
        "91.3 - 87.8 %, or 3.5 points",
    ),
    mnist_huber_spread=Claim(
        f"{_HIS} his batch norm at first makes the distribution of the inputs of the last hidden layer's sigmoids too wide by "
        "a factor of sqrt(batch size - 1), to within 10 %.",
        HUBER.at("Fig. 3 and code, which divides the variance by the batch size once too often"),
        FIRST_SPREAD.each("huber", group="huber").within(0.1 * _TOO_WIDE, _TOO_WIDE),
        "7.9",
        caveat_of="mnist_huber_accuracy",
        remark="the range is within 10 % of 1.04 x sqrt(59), the value for normally distributed inputs",
        hypothesis=_STABLE,
        speaks="neither",
    ),
    mnist_huber_mended=Claim(
        f"{_HIS} the test accuracy after 10,000 steps is higher with correct batch norm than without.",
        _OURS,
        TEST_ACCURACY.at(10_000).minus("batch_norm", "plain", group="huber").above(0),
        caveat_of="mnist_huber_accuracy",
    ),
    mnist_huber_smooth=Claim(
        f"{_HIS} from step 500 on, the median of all inputs of the last hidden layer's sigmoids fluctuates less around its "
        f"moving average with {_HIS_NORM} evaluated with running statistics, than in the plain net.",
        HUBER.at("Fig. 3 and 4"),
        steadiness("roughness", "running", "of_layer").over("plain", "huber", group="huber").above(1),
        hypothesis=_STABLE,
        speaks="neither",
    ),
    mnist_huber_moves=Claim(
        f"{_HIS} the width of the distribution of all inputs of the last hidden layer's sigmoids changes more over the "
        f"training with {_HIS_NORM} than in the plain net.",
        HUBER.at("Fig. 3 and 4, read off"),
        SPREAD_RANGE.over("huber", "plain", group="huber").above(1),
        "from 7.9 to 1.9, against almost constant 9.4",
        caveat_of="mnist_huber_smooth",
        hypothesis=_STABLE,
        speaks="neither",
    ),
)
