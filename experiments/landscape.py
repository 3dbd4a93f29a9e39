"""The loss landscape along the gradient while a VGG trains, with and without batch norm.

Claim: along the gradient, with batch norm the loss varies less, the gradient changes less ("gradient predictiveness") and
changes less per distance ("effective smoothness"); meanwhile the net learns faster.
Source: Santurkar et al. 2018, Sec. 3.1, Fig. 1 and 4; preset mameli: the setting of the seed repository, whose batch norm
follows the fourth convolution alone.
Command: TFDS_DATA_DIR=... python -m experiments landscape --preset cpu
Measured: on two CPU cores in 7 minutes, VGG-A of a quarter of its width, CIFAR-10, one seed, 2,500 steps: test accuracy 72 %
with BN against 62 %; median range of the loss along the gradient 5.8 times, change of the gradient 2.4 times, effective
smoothness 1.25 times larger without BN. At step 0 the net with BN is the rougher one. Presets mameli and paper have not
been run yet: they wait for an accelerator.
"""

from experiments._config import SMOKE, TrainingConfig
from experiments._landscape import plot as plot
from experiments._landscape import run as run
from experiments._landscape import summarise as summarise

_MANY_STEP_SIZES = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)

PRESETS = {
    # A narrower VGG-A, for the first 2,500 steps: those at which Santurkar et al. find the difference.
    "cpu": TrainingConfig(width=0.25, num_steps=2500, eval_every=250, probe_every=50, step_multiples=_MANY_STEP_SIZES),
    "smoke": SMOKE,
    # 30 epochs of 390 whole batches.
    "mameli": TrainingConfig(
        preprocessing="unit",
        head="mameli",
        norm_layers=(4,),
        learning_rate=0.01,
        num_steps=30 * 390,
        eval_every=390,
        probe_every=30,
    ),
    # The paper does not name the depth; it plots layers up to number 13. The L2 penalty is inferred from its loss curves.
    "paper": TrainingConfig(
        depth="13",
        head="4096",
        weight_decay=5e-4,
        probe_penalty=True,
        num_steps=15_000,
        eval_every=1000,
        probe_every=100,
    ),
}
