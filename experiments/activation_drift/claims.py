"""Claims about how stable the distributions of layer inputs are while a VGG trains."""

from functools import partial

from experiments._evidence.claim import Claim, claims
from experiments._evidence.drift import over_layers
from experiments._evidence.value import median

_FIG_8 = "Santurkar et al. 2018, Fig. 8a, read off; their text does not say so"
_RELATIVE = "not in the paper: absolute shifts depend on how large activations are"
_smallest = partial(over_layers, min, "plain", "batch_norm")

CLAIMS = claims(
    drift_hardly_differs=Claim(
        "Batch norm changes the stability of layer inputs little: their distributions move about as far without it.",
        "Santurkar et al. 2018, Sec. 2.1, Fig. 1c, by eye",
        over_layers(median, "plain", "batch_norm", "wasserstein", "cumulative").between(0.5, 2),
        remark="in these units an eye sees the distance; little is less than a factor of two",
    ),
    drift_stabilised=Claim(
        "Batch norm makes the distributions of layer inputs more stable, in every layer.",
        "Ioffe & Szegedy 2015, Sec. 4.1, Fig. 1b and c, by eye, on MNIST",
        _smallest("wasserstein", "cumulative").above(1),
    ),
    drift_mean=Claim(
        "In absolute units, the means of layer inputs are steadier with batch norm, in every layer.",
        _FIG_8,
        _smallest("mean").above(1),
        "0.032 / 0.002, 0.065 / 0.000 and 0.014 / 0.000, or 16 to more than 100 times",
        caveat_of="drift_hardly_differs",
    ),
    drift_variance=Claim(
        "In absolute units, the variances of layer inputs are steadier with batch norm, in every layer.",
        _FIG_8,
        _smallest("variance").above(1),
        "0.015 / 0.004, 0.021 / 0.001 and 0.007 / 0.001, or 3.8 to 21 times",
        caveat_of="drift_hardly_differs",
    ),
    drift_mean_relative=Claim(
        "The means are steadier with batch norm also in units of each unit's own standard deviation, in every layer.",
        _RELATIVE,
        _smallest("mean", relative=True).above(1),
        caveat_of="drift_hardly_differs",
    ),
    drift_variance_relative=Claim(
        "The variances are steadier with batch norm also as a share of what they are, in every layer.",
        _RELATIVE,
        _smallest("variance", relative=True).above(1),
        caveat_of="drift_hardly_differs",
    ),
)
