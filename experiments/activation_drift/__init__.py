"""The distributions of a VGG's pre-activations over training, with and without batch norm.

Claim: to the eye, batch norm does not make the distributions of layer inputs much more stable, although it helps training so
much; but the first two moments do become steadier.
Source: Santurkar et al. 2018, Fig. 1c and 8; Ioffe & Szegedy 2015 claim stability.
Command: TFDS_DATA_DIR=... python -m experiments activation_drift --preset cpu
Measured: preset cpu, six seeds, 14 minutes of runs, some of them on one core: over the training, distributions are 7.5 times
as far from where they started without BN as with it; preset evening, a quarter of the width, 5,000 steps, an hour: 7.6 times,
and before batch norm, where the layer's own bias and scale set nothing, 1.6 times; preset full_width_evening, the whole width,
one seed, 3,500 steps: 10 times, and before batch norm 1.3 times in the median layer, 0.70 times in layer 2. Preset paper waits
for an accelerator.
"""

from experiments._config import RunConfig, VGGRun, change
from experiments._evidence.keep import IfMeasured, drift, training
from experiments._presets import (
    CPU,
    EVENING,
    FULL_WIDTH,
    FULL_WIDTH_EVENING,
    OVERNIGHT,
    PAPER,
    SIX_SEEDS,
    SMOKE,
    SMOKE_MULTIPLES,
    following,
    following_everywhere,
    with_and_without,
)

PRESETS = {
    "cpu": following(change(CPU, seeds=SIX_SEEDS), 3, 8, 10),
    "smoke": following(SMOKE, 3, 8, 10, step_multiples=SMOKE_MULTIPLES),
    "evening": following_everywhere(EVENING, 2, 3, 8, 10),
    "full_width_evening": following_everywhere(FULL_WIDTH_EVENING, 2, 3, 8, 10),
    "overnight": following_everywhere(OVERNIGHT, 2, 3, 8, 10),
    "full_width": following_everywhere(FULL_WIDTH, 2, 3, 8, 10),
    "paper": following(change(PAPER, seeds=(0, 1, 2)), 2, 3, 9, 11, penalty=True),
}

_DRIFT = drift("successive", "cumulative", shapes=40)
_ELSEWHERE = IfMeasured(drift("successive", "cumulative"))
KEEP = {
    "arms": {
        "train": training(250, "accuracy"),
        "drift": _DRIFT,
        "drift_before_norm": _ELSEWHERE,
        "drift_after_activation": _ELSEWHERE,
    }
}


def groups(config: VGGRun) -> dict[str, dict[str, RunConfig]]:
    """Compare the VGG with and without batch norm."""
    return {"arms": with_and_without(config)}
