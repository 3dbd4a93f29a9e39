"""Presets that subjects share, and the nets that they compare: configurations with a few fields changed."""

from dataclasses import fields
from typing import Any

from experiments._config import DeepLinearRun, NoNorm, Optimizer, RunConfig, Schedule, VGGRun, change

# Seconds: for tests, and to see that everything works.
SMOKE: VGGRun = change(
    VGGRun(),
    data={"dataset": "digits", "image_size": 8},
    model={"width": 1 / 16},
    optimizer={"batch_size": 16},
    schedule=Schedule(num_steps=40, eval_every=20, probe_every=10),
)
SMOKE_MULTIPLES = (0.5, 2.0)  # of scans
# Minutes on two cores: a VGG-A at an eighth of its width, half the paper's batch size, real images, and only the first steps,
# in which the nets differ most.
CPU: VGGRun = change(
    VGGRun(seeds=(0, 1, 2)),
    model={"width": 0.125},
    optimizer={"batch_size": 64},
    schedule=Schedule(num_steps=1000, eval_every=250, probe_every=50),
)
# For experiments whose first three seeds take less than six minutes.
SIX_SEEDS = tuple(range(6))
# The paper does not name the depth; it plots layers up to number 13. The L2 penalty is inferred from its loss curves, and
# scans have it too.
PAPER: VGGRun = change(VGGRun(), model={"depth": "13", "head": "4096"}, optimizer={"weight_decay": 5e-4})
# 30 epochs of 390 whole batches; batch norm follows the fourth convolution alone.
MAMELI: VGGRun = change(
    VGGRun(seeds=(0, 1, 2)),
    data={"preprocessing": "unit"},
    model={"head": "mameli"},
    norm={"layers": (4,)},
    optimizer={"learning_rate": 0.01},
    schedule=Schedule(num_steps=30 * 390, eval_every=390, probe_every=30),
)
# A replication with Adam: 50 epochs of 390 whole batches.
ALX: VGGRun = change(
    VGGRun(seeds=(0, 1, 2)),
    data={"preprocessing": "half"},
    model={"kernel_init": "xavier_normal"},
    optimizer=Optimizer("adam"),
    schedule=Schedule(num_steps=50 * 390, eval_every=390, probe_every=390),
)
# As published, except for the width: hours on two CPU cores. All experiments measure the same runs, at the same steps.
OVERNIGHT: VGGRun = change(VGGRun(seeds=(0, 1, 2)), model={"width": 0.25}, schedule=Schedule(recalibrated_tests=True))
# The first third of these runs: an hour or two.
EVENING: VGGRun = change(OVERNIGHT, schedule={"num_steps": 5000})
# For comparisons within the first thousands of steps.
OVERNIGHT_SHORT: VGGRun = change(OVERNIGHT, schedule={"num_steps": 5500})
# The same at the width of preset cpu, for claims about steps later than those of that preset: 19 minutes or more.
CPU_LONG: VGGRun = change(OVERNIGHT_SHORT, model={"width": 0.125})
# All published steps at that width: an hour or two for the nets with and without batch norm.
CPU_WHOLE: VGGRun = change(OVERNIGHT, model={"width": 0.125})
# Three measurements an epoch; the replication with Adam trains for its own 20 epochs.
OVERNIGHT_MAMELI: VGGRun = change(
    MAMELI, model={"width": 0.25}, schedule={"probe_every": 130, "recalibrated_tests": True}
)
OVERNIGHT_ALX: VGGRun = change(
    ALX,
    model={"width": 0.25},
    optimizer={"learning_rate": 1e-3},
    schedule={"num_steps": 20 * 390, "probe_every": 130, "recalibrated_tests": True},
)
# The net of the articles, unchanged: hours for each run on two CPU cores.
FULL_WIDTH: VGGRun = change(VGGRun(), schedule=Schedule(recalibrated_tests=True))
# Its first steps, which cover the windows of the paper's figures up to step 3,500: an hour or two for both nets.
FULL_WIDTH_EVENING: VGGRun = change(FULL_WIDTH, schedule={"num_steps": 3500})
# Presets whose runs take hours: any experiment that trains one also makes the measurements that the others need.
LONG = ("evening", "overnight", "overnight_mameli", "overnight_alx", "full_width", "full_width_evening")
# Ten draws of the linear map, on which the results depend much. All experiments make the same measurements, to share runs.
DEEP_LINEAR = DeepLinearRun(seeds=tuple(range(10))).measuring("landscape", "random_direction", "shift")
# 64 draws, each trained on the few points that have the moments of its inputs.
MANY_DRAWS = change(DEEP_LINEAR, inputs="moments", seeds=tuple(range(64)))
# The first ten of these draws.
TEN_DRAWS = change(MANY_DRAWS, seeds=DEEP_LINEAR.seeds)
SMOKE_DEEP_LINEAR: DeepLinearRun = change(
    DeepLinearRun(inputs="moments"),
    model={"depth": 17},
    optimizer={"batch_size": 100},
    schedule=Schedule(num_steps=40, eval_every=40, probe_every=20),
)


# The other reading of the source of the deep linear network, in words, and how much longer its steps are.
UNHALVED, UNHALVED_STEPS = "loss not halved and initial matrices 5 % larger", 2


def unhalved(run: DeepLinearRun) -> DeepLinearRun:
    """Read the source the other way: steps follow the loss without the half, from initial matrices that are 5 % larger."""
    # The learning rate is that of the halved loss.
    rate, scale = UNHALVED_STEPS * run.optimizer.learning_rate, 1.05 * run.model.kernel_scale
    return change(run, optimizer={"learning_rate": rate}, model={"kernel_scale": scale})


def following(run: VGGRun, *layers: int, **scans: Any) -> VGGRun:
    """Measure the landscape, and the drift of some layers.

    On the VGG, activation_drift, lp_norms and noisy_batchnorm make the same measurements, so that they share runs.
    """
    return change(scanning(run.measuring("landscape", "drift"), **scans), probes={"drift": {"layers": layers}})


def following_everywhere(run: VGGRun, *layers: int) -> VGGRun:
    """Measure the landscape, and the drift of some layers before and after normalisers and after activations."""
    run = following(run, *layers)
    more = ("drift_before_norm", "drift_after_activation")
    return change(run.measuring(*run.probes.kinds, *more), probes={kind: {"layers": layers} for kind in more})


def measuring_only(run: Any, kind: str) -> Any:
    """Keep only one kind of a run's probes, or none if it lacks that kind."""
    return run.measuring(*({kind} & {*run.probes.kinds}))


def scanning(run: Any, **settings: Any) -> Any:
    """Change the settings of all scans that a run has."""
    kinds = {"landscape", "random_direction"} & {*run.probes.kinds}
    return change(run, probes=dict.fromkeys(kinds, settings))


def fields_of(run: RunConfig) -> dict[str, Any]:
    """Return the fields of a run, from which a subject makes a configuration with more fields."""
    return {field.name: getattr(run, field.name) for field in fields(run)}


def arm(config: RunConfig, **changes: Any) -> Any:
    """Return the run of an experiment's configuration, with some fields changed."""
    return change(config.run(), **changes)


def with_and_without(config: RunConfig) -> dict[str, Any]:
    """Compare the net of the configuration with the same one without its normaliser."""
    return {"plain": arm(config, norm=NoNorm()), "batch_norm": arm(config)}
