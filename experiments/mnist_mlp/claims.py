"""Claims about networks of sigmoids on MNIST, with and without batch norm."""

from experiments._evidence.claim import Claim, claims
from experiments._evidence.quantities import TEST_ACCURACY
from experiments.mnist_mlp.percentiles import ACCURACY, FIRST_SPREAD, SPREAD_RANGE, steadiness

_IOFFE, _HUBER, _OURS = "Ioffe & Szegedy 2015, Sec. 4.1", "Huber 2020", "a control of ours"
_TOO_WIDE = 1.0364 * 59**0.5


def _in_evaluation(name: str, moves: str, statistic: str) -> Claim:
    return Claim(
        f"As running averages normalise it, in evaluation, it {moves} with batch norm, too.",
        f"{_OURS}: running averages that keep 0.99 lag behind weights that move fast",
        steadiness(statistic, "running").over("plain", "batch_norm", group="ioffe").above(1),
        caveat_of=name,
    )


CLAIMS = claims(
    mnist_early_accuracy=Claim(
        "Early on, after 4,000 steps, the test accuracy is more than 2 points higher with batch norm.",
        f"{_IOFFE}, Fig. 1a",
        TEST_ACCURACY.at(4000).minus("batch_norm", "plain", group="ioffe").above(0.02),
        "95.3 - 73.2 %, or 22 points",
    ),
    mnist_steps=Claim(
        "With batch norm the net reaches a test accuracy of 95 % in fewer steps.",
        f"{_IOFFE}, Fig. 1a, read off",
        TEST_ACCURACY.steps_to(0.95, points=1).over("plain", "batch_norm", group="ioffe").above(1),
        "15,000 / 4,000, or 3.8 times",
    ),
    mnist_accuracy=Claim(
        "At the end, after 50,000 steps, the test accuracy is still more than 0.2 points higher with batch norm.",
        f"{_IOFFE}, Fig. 1a, read off",
        ACCURACY.at(50_000).minus("batch_norm", "plain", group="ioffe").above(0.002),
        "98.2 - 97.25 %, or 0.95 points",
    ),
    mnist_stable_range=Claim(
        "The distribution of a sigmoid's inputs moves less far with batch norm.",
        f"{_IOFFE}, Fig. 1b and 1c, read off",
        steadiness("range").over("plain", "batch_norm", group="ioffe").above(1),
        "1.34 / 0.33, or 4 times, of one unit",
    ),
    mnist_stable_range_running=_in_evaluation("mnist_stable_range", "moves less far", "range"),
    mnist_stable_relative=Claim(
        "It moves less far with batch norm in units of its own width, too.",
        f"{_IOFFE}, Fig. 1b and 1c, computed from what can be read off",
        steadiness("relative_range").over("plain", "batch_norm", group="ioffe").above(1),
        "1.1 / 0.20, or 6 times, of one unit",
    ),
    mnist_stable_variation=Claim(
        "Back and forth together, it moves less with batch norm.",
        f"{_IOFFE}, Fig. 1b and 1c",
        steadiness("variation").over("plain", "batch_norm", group="ioffe").above(1),
    ),
    mnist_stable_variation_running=_in_evaluation("mnist_stable_variation", "moves less", "variation"),
    mnist_smooth=Claim(
        "It moves more smoothly with batch norm: its median is less noisy.",
        f"{_HUBER}, on Fig. 1 of Ioffe & Szegedy 2015",
        steadiness("roughness").over("plain", "batch_norm", group="ioffe").above(1),
    ),
    mnist_smooth_running=_in_evaluation("mnist_smooth", "is less noisy", "roughness"),
    mnist_huber_early_accuracy=Claim(
        "In Huber's setting too, the test accuracy is higher with (his) batch norm after 1,000 steps.",
        f"{_HUBER}, Fig. 2 and notebook, where it is called training accuracy",
        TEST_ACCURACY.at(1000).minus("huber", "plain", group="huber").above(0),
        "78.6 - 73.6 %, or 5.0 points",
    ),
    mnist_huber_accuracy=Claim(
        "In Huber's setting too, the test accuracy is higher with (his) batch norm at the end, after 10,000 steps.",
        f"{_HUBER}, Fig. 2 and notebook",
        TEST_ACCURACY.at(10_000).minus("huber", "plain", group="huber").above(0),
        "91.3 - 87.8 %, or 3.5 points",
    ),
    mnist_huber_spread=Claim(
        "The batch norm of that replication makes the inputs of the sigmoids too wide at first, by the root of the batch's "
        "size less one.",
        "code of Huber 2020: the variance is divided by the batch's size once too often; Fig. 3",
        FIRST_SPREAD.each("huber", group="huber").within(0.1 * _TOO_WIDE, _TOO_WIDE),
        "7.9",
        caveat_of="mnist_huber_accuracy",
        remark="within 10 % of 1.04 times the root of 59, which normally distributed values would have",
    ),
    mnist_huber_mended=Claim(
        "Without that mistake, batch norm still has the higher test accuracy in that setting.",
        _OURS,
        TEST_ACCURACY.at(10_000).minus("batch_norm", "plain", group="huber").above(0),
        caveat_of="mnist_huber_accuracy",
    ),
    mnist_huber_smooth=Claim(
        "In Huber's setting, the distribution over all units moves more smoothly with (his) batch norm.",
        f"{_HUBER}, Fig. 3 and 4",
        steadiness("roughness", "running", "of_layer").over("plain", "huber", group="huber").above(1),
    ),
    mnist_huber_moves=Claim(
        "In Huber's setting it is with (his) batch norm that the distribution over all units changes its width.",
        f"{_HUBER}, Fig. 3 and 4, read off",
        SPREAD_RANGE.over("huber", "plain", group="huber").above(1),
        "from 7.9 to 1.9, against almost constant 9.4",
        caveat_of="mnist_huber_smooth",
    ),
)
