"""Claims about BN-Inception: how soon it learns, how well, and which nets do not learn."""

from dataclasses import replace

from experiments._evidence.claim import Claim, claims
from experiments._evidence.source import CAFFENET, IOFFE, ours
from experiments._evidence.statistic import Statistic
from experiments.inception.quantities import BEST, GUESSING, LAST, accuracy, steps

_ON_IMAGENET = "Inception on ImageNet, batch 32, one run"
_TABLE = replace(IOFFE.at("Sec. 4.2.2, table of steps"), setup=_ON_IMAGENET)
_TEXT = replace(IOFFE.at("Sec. 4.2.2"), setup=_ON_IMAGENET)
_GOOGLENET = replace(CAFFENET, setup="GoogLeNet on ImageNet of 128 pixels, one run")
_CIFAR = "here small images"
_FEWER = "here small images, and only these of the source's changes"
_RATES = "learning rates"
_CHANGES = "no dropout, a fifth of the L2 penalty, and a learning rate that falls six times as fast"
_RATE = "the plain net's best learning rate"
_TARGET = "the plain net's best test accuracy"
_GUESS = "guessing has a test accuracy of 10 %; below 15 % counts as guessing"


def _faster(first: tuple[str, str], second: tuple[str, str]) -> Statistic:
    """Divide the steps of the second net by those of the first."""
    return steps(*second) / steps(*first)


def _better(first: tuple[str, str], second: tuple[str, str]) -> Statistic:
    """Subtract the best test accuracy of the second net from that of the first."""
    return accuracy(BEST, *first) - accuracy(BEST, *second)


_PLAIN, _X1, _X5, _X30 = ("plain", "x1"), *(("batch_norm", name) for name in ("x1", "x5", "x30"))
_SIGMOID, _X5_ALONE = ("batch_norm", "x5_sigmoid"), ("batch_norm", "x5_alone")

CLAIMS = claims(
    "none",
    "2026-11-29",
    inception_steps=Claim(
        f"At {_RATE}, the net with batch norm reaches {_TARGET} in fewer steps than the plain net itself.",
        _TABLE,
        _faster(_X1, _PLAIN).above(1),
        "13.3 and 31.0 million steps, or 2.3 times as many without",
        differs=_CIFAR,
    ),
    inception_steps_x5=Claim(
        f"At five times {_RATE}, with {_CHANGES}, the net with batch norm reaches {_TARGET} in fewer steps than at {_RATE} "
        "without these changes.",
        _TABLE,
        _faster(_X5, _X1).above(1),
        "2.1 and 13.3 million steps, or 6.3 times as many at the lower rate",
        hypothesis=_RATES,
        speaks="neither",
        remark="more than the learning rate differs",
        differs=_FEWER,
    ),
    inception_steps_x30=Claim(
        f"At 30 times {_RATE}, with {_CHANGES}, the net with batch norm reaches {_TARGET} in fewer steps than at {_RATE} "
        "without these changes.",
        _TABLE,
        _faster(_X30, _X1).above(1),
        "2.7 and 13.3 million steps, or 4.9 times as many at the lower rate",
        hypothesis=_RATES,
        speaks="neither",
        remark="more than the learning rate differs",
        differs=_FEWER,
    ),
    inception_steps_slower=Claim(
        f"With {_CHANGES}, the net with batch norm reaches {_TARGET} in more steps at 30 times {_RATE} than at five times "
        "that rate.",
        _TABLE,
        _faster(_X5, _X30).above(1),
        "2.7 and 2.1 million steps, or 1.3 times as many",
        caveat_of="inception_steps_x30",
        hypothesis=_RATES,
        speaks="neither",
        differs=_FEWER,
    ),
    inception_steps_alone=Claim(
        f"With all else equal, the net with batch norm reaches {_TARGET} in fewer steps at five times {_RATE} than at {_RATE}.",
        ours("whether the larger learning rate, or what was changed with it, makes batch norm fast"),
        _faster(_X5_ALONE, _X1).above(1),
        hypothesis=_RATES,
        speaks="for, else against",
    ),
    inception_best=Claim(
        f"At {_RATE}, the best test accuracy is higher with batch norm than without.",
        _TABLE,
        _better(_X1, _PLAIN).above(0),
        "72.7 % and 72.2 %, or +0.5 points",
        differs=_CIFAR,
    ),
    inception_best_googlenet=Claim(
        f"At {_RATE}, the best test accuracy is lower with batch norm than without.",
        _GOOGLENET,
        _better(_X1, _PLAIN).below(0),
        "58.4 to 60.7 % with and 61.9 % without, or -3.5 to -1.2 points; under another schedule 64.5 % with",
        caveat_of="inception_best",
        differs="here BN-Inception, on small images",
    ),
    inception_best_x5=Claim(
        f"With batch norm, the best test accuracy is higher at five times {_RATE}, with {_CHANGES}, than at {_RATE} without "
        "these changes.",
        _TABLE,
        _better(_X5, _X1).above(0),
        "73.0 % and 72.7 %, or +0.3 points",
        hypothesis=_RATES,
        speaks="neither",
        remark="more than the learning rate differs",
        differs=_FEWER,
    ),
    inception_best_x30=Claim(
        f"With batch norm and {_CHANGES}, the best test accuracy is higher at 30 times {_RATE} than at five times that rate.",
        _TABLE,
        _better(_X30, _X5).above(0),
        "74.8 % and 73.0 %, or +1.8 points",
        hypothesis=_RATES,
        speaks="for",
        differs=_FEWER,
    ),
    inception_best_alone=Claim(
        f"With batch norm at five times {_RATE}, the best test accuracy is higher with {_CHANGES} than without these changes.",
        ours("what the changes of the recipe add, apart from the larger learning rate"),
        _better(_X5, _X5_ALONE).above(0),
    ),
    inception_plain_x5=Claim(
        f"At five times {_RATE}, the plain net diverges, or ends at a test accuracy below 15 %.",
        _TEXT,
        accuracy(LAST, "plain", "x5").below(GUESSING),
        "parameters overflow",
        hypothesis=_RATES,
        speaks="for",
        remark=_GUESS,
        differs=_CIFAR,
    ),
    inception_plain_x30=Claim(
        f"At 30 times {_RATE}, the plain net diverges, or ends at a test accuracy below 15 %.",
        ours("the learning rate at which batch norm does best"),
        accuracy(LAST, "plain", "x30").below(GUESSING),
        hypothesis=_RATES,
        speaks="for",
        remark=_GUESS,
    ),
    inception_plain_sigmoid=Claim(
        f"With sigmoid units, at {_RATE}, the plain net has a test accuracy below 15 % in every test.",
        _TEXT,
        accuracy(BEST, "plain", "sigmoid").below(GUESSING),
        "never above one in a thousand, which is a guess",
        remark=_GUESS,
        differs=_CIFAR,
    ),
    inception_sigmoid=Claim(
        f"With sigmoid units, batch norm and {_CHANGES}, at five times {_RATE}, the best test accuracy is above 15 %.",
        _TABLE,
        accuracy(BEST, *_SIGMOID).above(GUESSING),
        "69.8 %",
        remark=_GUESS,
        differs=_FEWER,
    ),
    inception_sigmoid_below=Claim(
        f"With sigmoid units, batch norm and {_CHANGES}, at five times {_RATE}, the best test accuracy is lower than that of "
        f"the plain net with ReLU units at {_RATE}.",
        _TABLE,
        _better(_SIGMOID, _PLAIN).below(0),
        "69.8 % and 72.2 %, or -2.4 points",
        differs=_FEWER,
    ),
)
