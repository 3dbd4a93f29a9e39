"""Claims about what sets late curvature: the grid of the scan, or the learning rate, whatever the net."""

from experiments._evidence import quantities as q
from experiments._evidence.claim import Claim
from experiments._evidence.source import ANDREYEV, ours
from experiments.landscape.measures import BATCH_SHARPNESS, furthest_from_one, in_edges, in_grids

_GRIDS = {"": ("arms", "the scan"), "_short": ("short", "a scan that starts at half the usual smallest step")}
_NETS = {"plain": "Without batch norm", "batch_norm": "With batch norm"}
_WINDOWS = {"": 9000, "_part": 4000}
_PASSING = "; at preset evening it still rises at the end, step 5,000, in both nets, so that it has not stabilised"
_SINCE = "2026-11-29"

CLAIMS_OF_EDGES = {
    **{
        f"landscape_smoothness_grid{suffix}": Claim(
            f"From step 9,000 on, the effective smoothness times the smallest step size of {words} lies between 0.9 and 1.1, "
            "both with batch norm and in the plain net.",
            ours(
                "a control of Santurkar et al. 2018, Fig. 4c late: whether the grid of the scan sets what it measures there"
            ),
            furthest_from_one(
                *(in_grids(q.SMOOTHNESS.median(first=9000).each(net, group=group), group) for net in _NETS)
            ).between(0.9, 1.1),
            caveat_of="landscape_smoothness",
            since=_SINCE,
            remark="in the range, the gradient changes by about its own length at the smallest step already; the range was "
            "fixed after one run at a quarter of the width",
            speaks="neither",
        )
        for suffix, (group, words) in _GRIDS.items()
    },
    **{
        f"landscape_sharpness_{net}{suffix}": Claim(
            f"{words}, the curvature of mini-batches along their own gradients, batch sharpness, is within 25 % of 2 / "
            f"learning rate from step {first:,} on.",
            ANDREYEV,
            in_edges(BATCH_SHARPNESS.median(first=first).each(net), "vgg").between(0.75, 1.25),
            "1 times, at which it stabilises",
            caveat_of="landscape_smoothness",
            since=_SINCE,
            remark="the source gives no tolerance: a quarter is ours; each measurement is of one batch"
            + _PASSING * (first == 4000),
            speaks="neither",
        )
        for suffix, first in _WINDOWS.items()
        for net, words in _NETS.items()
    },
}
