"""The distributions of what goes into the nonlinearities of a VGG, over training, with and without batch norm.

Claim: to the eye, batch norm does not make the distributions of layer inputs much more stable, although it helps training so
much; but the first two moments do become steadier.
Source: Santurkar et al. 2018, Fig. 1c and 8; Ioffe & Szegedy 2015 claim stability.
Command: TFDS_DATA_DIR=... python -m experiments activation_drift --preset cpu
"""

from pathlib import Path
from typing import Any

from experiments._arms import CPU, PAPER, SMOKE, with_and_without
from experiments._config import Options, VGGRun

# The runs of batch norm's other relatives have the same probes, so that those they have in common are trained once.
_PROBES: dict[str, Any] = {"probes": ("landscape", "drift"), "drift_layers": (3, 8, 10)}

PRESETS = {
    "cpu": VGGRun(**CPU, **_PROBES),
    "smoke": VGGRun(**SMOKE, **_PROBES),
    "paper": VGGRun(**{**PAPER, **_PROBES, "drift_layers": (2, 3, 9, 11)}, seeds=(0, 1, 2)),
}


def run(config: VGGRun, options: Options, _folder: Path) -> dict[str, Any]:
    """Train both nets and follow their activations; return the data of the figure."""
    from experiments._training import train_all

    return train_all({"arms": with_and_without(config)}, options)
