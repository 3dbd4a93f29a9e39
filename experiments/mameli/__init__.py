"""Mameli's net in his setting: a VGG-A with one batch norm, after the fourth convolution, and without it, measured his way.

Claim: a single batch norm makes training faster and the test accuracy higher, does not reduce internal covariate shift, and
makes gradients more predictive and the landscape a little smoother. Beside his measures stand those whose names they have.
Source: Mameli's repository, github.com/mameli/Test_batch_norm_paper, whose notebooks train one run of 30 epochs and one of 10;
Santurkar et al. 2018 for the definitions. Their VGG has at least 13 weight layers, his and this one, a VGG-A, has 11.
Command: TFDS_DATA_DIR=... python -m experiments mameli --preset cpu
Measured: preset cpu, an eighth of the width, five epochs, three seeds, two cores beside other work, 10 minutes: 47.8 % test
accuracy with the batch norm, 24.3 % without, which stays within 0.02 of the loss of guessing for 916 steps; over the training
his shift is 12 times, that of Definition 2.1 44 times as large with it, and so are his predictiveness (9.3 times) and the
change of the gradient (49 times), which say the opposite of each other. Preset evening, a quarter of the width, ten epochs,
three seeds, 25 minutes: 42.0 % without, 61.2 % with the batch norm (65.8 % with recalibrated statistics); over steps 80 to
3,500, his predictiveness is 4.1 times as large with it and his landscape 0.65 times as high. Preset full_width, his net at
its own width, ten epochs, one seed, 58 minutes beside other work: 45.8 % without (published 44.5 %); with the batch norm 61.7
% at the end, 68.4 % at best (72.4 %) and 74.1 % with recalibrated statistics; his predictiveness is 5.2 times as large
(published 5.1 times at step 1,000, 3.3 at 3,000) and his landscape 0.53 times as high (0.60 and 0.50). Preset cpu_long, an
eighth of the width, all 30 epochs, three seeds, 3.0 hours of runs on one core: 57.7 % without, 61.4 % with the batch norm
(65.8 % recalibrated); his shift is 2.5 times as large with it up to step 7,000, and still 1.5 times from step 9,000 on, where
his run has 0.42 times; which net ends with the larger test loss depends on the seed.
His first dense layer reads one vector 49 times over. Except in preset overnight, it is trained as
`bnjax.models.RepeatedDense`, which is the same net in fewer numbers: with the sum of the 49 kernels, drawn for the whole
head, and 49 times its rate, and with the lengths of the whole head. Preset overnight trains the whole head, since
training_curves, covariate_shift and landscape have these runs in their preset overnight_mameli; their claims are about other
nets too.
"""

from dataclasses import dataclass
from typing import Any

from experiments._config import BatchNorm, NoNorm, Schedule, VGGRun, change, check
from experiments._evidence.keep import by_layer, scans, training, whole
from experiments._presets import MAMELI, OVERNIGHT_MAMELI, SMOKE, SMOKE_MULTIPLES, arm, fields_of, scanning

LAYER = 5  # whose gradients are compared


@dataclass(frozen=True)
class Config(VGGRun):
    """Mameli's net with one batch norm, after the fourth convolution, and without."""

    def __post_init__(self):
        super().__post_init__()
        norm: Any = self.norm
        check(type(norm) is BatchNorm, "norm", "batch, whose effect is measured", norm.kind)
        check(norm.layers == (4,), "norm.layers", "4, after which the source has its only batch norm", norm.layers)
        for kind in {"shift", "successive_gradients"} & {*self.probes.kinds}:
            layers = getattr(self.probes, kind).layers
            check(layers[0] == LAYER, f"probes.{kind}.layers", f"numbers of which {LAYER} is the first", layers)
        if "dummy_shift" in self.probes:
            layer = self.probes.dummy_shift.layer
            check(layer == LAYER, "probes.dummy_shift.layer", f"{LAYER}, the source's", layer)


_EPOCH = 390  # steps of 128 images
_PROBES = ("landscape", "random_direction", "successive_gradients", "shift", "dummy_shift")
# The length of his second notebook; `--schedule.num-steps 11700` continues to that of the first.
_TEN_EPOCHS = Schedule(10 * _EPOCH, eval_every=_EPOCH, probe_every=78, recalibrated_tests=True)
_REDUCED: VGGRun = change(MAMELI, model={"head": "mameli_reduced"})


def _measured(run: VGGRun, **changes: Any) -> Config:
    return Config(**fields_of(change(run.measuring(*_PROBES), **changes)))


PRESETS = {
    "cpu": _measured(
        _REDUCED,
        model={"width": 0.125},
        schedule=Schedule(5 * _EPOCH, eval_every=_EPOCH, probe_every=65, recalibrated_tests=True),
    ),
    "smoke": scanning(
        _measured(
            _REDUCED,
            data=change(SMOKE.data, preprocessing="unit"),
            model={"width": SMOKE.model.width},
            optimizer={"batch_size": SMOKE.optimizer.batch_size},
            schedule=SMOKE.schedule,
            seeds=SMOKE.seeds,
        ),
        step_multiples=SMOKE_MULTIPLES,
    ),
    # The length of his first notebook, measured once an epoch.
    "cpu_long": _measured(
        _REDUCED,
        model={"width": 0.125},
        schedule=change(_TEN_EPOCHS, num_steps=30 * _EPOCH, probe_every=_EPOCH),
    ),
    "evening": _measured(_REDUCED, model={"width": 0.25}, schedule=_TEN_EPOCHS),
    "overnight": _measured(OVERNIGHT_MAMELI),
    # Two measurements per epoch; each takes as long as 55 steps.
    "full_width": _measured(_REDUCED, schedule=change(_TEN_EPOCHS, probe_every=195), seeds=(0,)),
}
# The preset under which other experiments train these nets, with the measurements that all of them need.
SHARED_PRESETS = {"overnight": "overnight_mameli"}

_SCANS = scans("loss", "gradient_distance", "smoothness", ends=True)
KEEP: dict[str, Any] = {
    "arms": {
        "train": training(500, "loss", "loss_change", "accuracy"),
        "shift": by_layer("difference", "relative_difference", "cosine", first=True),
        "dummy_shift": whole,
        "successive_gradients": by_layer(
            "step_sum", "norm", "previous_norm", "step_distance", "relative_sum", "step_cosine", first=True
        ),
        "landscape": _SCANS,
        "random_direction": _SCANS,
    }
}


def groups(config: Config) -> dict[str, dict[str, VGGRun]]:
    """Name the net without batch norm, and that with one."""
    return {"arms": {"plain": arm(config, norm=NoNorm()), "batch_norm_4": arm(config)}}
