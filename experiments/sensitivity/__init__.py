"""How much a VGG depends on its learning rate and on its initial weights, with batch norm, without, and with a single one.

Claim: batch norm widens the range of learning rates with which a net trains, and makes it depend less on its initial weights;
along the gradient, the loss of the plain net explodes at step sizes at which that with batch norm still falls. One batch norm
after the last hidden layer has most of the gain.
Source: Ioffe & Szegedy 2015, Sec. 3.3; Bjorck et al. 2018; the article "Batch normalization vs internal covariate shift"; for
Adam, public re-runs of a course exercise.
Counter-example: at the smallest learning rates batch norm gains nothing (Bjorck et al. 2018).
Command: TFDS_DATA_DIR=... python -m experiments sensitivity --preset cpu
Measured: preset cpu, three seeds, two cores beside other work, 17 minutes: after 300 steps, the net with BN has a training
loss below 2 over 1.5 decades of learning rates more than the plain one, and at its best rate a test accuracy 10 points
higher; one batch norm after the last hidden layer has 14 % of that gain (published: about two thirds) at the best of three
learning rates, the smallest of which suits it best. From eight initial weights the plain net learns with two and guesses with
six, so that its test accuracies lie closer together than BN's, of 19 to 41 %. Up to steps of 0.1 along the gradient, the
published range, no net explodes, unlike the published plain net; beyond 1, the plain one does. Except for those with Adam and
those from other initial weights, nets start from He weights, from which the plain net learns at once. Preset cpu takes 300
steps at eight of the ten learning rates, three for the single batch norm, 150 steps from other initial weights, and leaves
Adam out. At overnight, Adam trains the same nets as training_curves and landscape do at overnight_alx.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from bnjax.models.shapes import KernelInit
from experiments._config import (
    BatchNorm,
    NoNorm,
    RunConfig,
    Schedule,
    VGGRun,
    change,
    check,
    check_arms,
    check_numbers,
)
from experiments._evidence.keep import IfMeasured, scans, training
from experiments._nets import Setting, learning_rate
from experiments._presets import ALX, CPU, CPU_LONG, OVERNIGHT, OVERNIGHT_ALX, SMOKE, arm, with_and_without

Start = Literal["x0.1", "x0.3", "x1", "x3", "x10", "std0.01", "std1", "orthogonal"]


class InitialWeights(NamedTuple):
    """The distribution of initial weights, see `VGGShape`, and its names."""

    kernel_init: KernelInit
    kernel_scale: float
    label: str
    words: str


STARTS: dict[Start, InitialWeights] = {
    "x0.1": InitialWeights("he_normal", 0.1, "He x 0.1", "He weights times 0.1"),
    "x0.3": InitialWeights("he_normal", 0.3, "He x 0.3", "He weights times 0.3"),
    "x1": InitialWeights("he_normal", 1.0, "He", "He weights"),
    "x3": InitialWeights("he_normal", 3.0, "He x 3", "He weights times 3"),
    "x10": InitialWeights("he_normal", 10.0, "He x 10", "He weights times 10"),
    "std0.01": InitialWeights("normal", 0.01, "std 0.01", "weights of standard deviation 0.01"),
    "std1": InitialWeights("normal", 1.0, "std 1", "weights of standard deviation 1"),
    "orthogonal": InitialWeights("orthogonal", 1.0, "orthogonal", "orthogonal weights"),
}
SCALES: tuple[Start, ...] = ("x0.1", "x0.3", "x1", "x3", "x10")
RATES = (1e-4, 3.16e-4, 1e-3, 3.16e-3, 1e-2, 3.16e-2, 0.1, 0.316, 1.0, 3.16)  # half decades
PUBLISHED_POINTS = 30  # of the line search: logarithmically spaced step sizes from 1e-5 to 0.1
# Minibatches 1, 4 and 7, each before its step.
_LINE = Schedule(num_steps=7, eval_every=9, probe_every=3)


@dataclass(frozen=True)
class Config:
    """A VGG with batch norm and without, at many learning rates and from many initial weights.

    Attributes:
        vgg: the net with batch norm; its learning rate is used for the nets from other initial weights, and for the steps
            between the scans of the line search. All other nets trained with SGD start from its initial weights.
        adam: the net that Adam trains; its learning rate is not used.
        learning_rates: of SGD.
        last_rates: the subset for the net with a single batch norm, after the last hidden layer.
        starts: initial weights.
        start_steps: steps of the nets from other initial weights.
        line_points: number of step sizes of the line search; the first 30 span 1e-5 to 0.1, as published, the rest are larger.
        adam_rates: learning rates of Adam; if empty, no net is trained with it.
    """

    vgg: VGGRun
    adam: VGGRun
    learning_rates: tuple[float, ...] = RATES
    last_rates: tuple[float, ...] = RATES
    starts: tuple[Start, ...] = tuple(STARTS)
    start_steps: int = 1950
    line_points: int = 51
    adam_rates: tuple[float, ...] = (1e-4, 5e-4, 1e-3, 2e-3)

    def __post_init__(self):
        rule = "one or more different numbers > 0 and finite"
        check_numbers(self, rule, lambda x: 0 < x < float("inf"), "learning_rates", "last_rates")
        check({*self.last_rates} <= {*self.learning_rates}, "last_rates", "some of learning_rates", self.last_rates)
        rule = "none, or different numbers > 0 and finite"
        are_usable = all(0 < rate < float("inf") for rate in self.adam_rates)
        check(len({*self.adam_rates}) == len(self.adam_rates) and are_usable, "adam_rates", rule, self.adam_rates)
        check_arms(self, "learning_rates", "adam_rates")
        rule = f"one or more different ones of {', '.join(STARTS)}"
        check(len({*self.starts}) == len(self.starts) > 0 and {*self.starts} <= {*STARTS}, "starts", rule, self.starts)
        check_numbers(self, "at least 1", lambda x: x >= 1, "start_steps")
        rule = "between 1 and 100, the last of which is a step of some 50,000"
        check(1 <= self.line_points <= 100, "line_points", rule, self.line_points)
        for name, run in (("vgg", self.vgg), ("adam", self.adam)):
            check(type(run.norm) is BatchNorm, f"{name}.norm", "batch", run.norm.kind)
        check(self.vgg.optimizer.name == "sgd", "vgg.optimizer.name", "sgd", self.vgg.optimizer.name)
        check(self.adam.optimizer.name == "adam", "adam.optimizer.name", "adam", self.adam.optimizer.name)


def _once(num_steps: int, **more: Any) -> Schedule:
    """Test only after the last step."""
    return Schedule(num_steps=num_steps, eval_every=num_steps, probe_every=num_steps, **more)


_HE = {"kernel_init": "he_normal"}
_EPOCHS = 5 * 390  # steps of 128 images
_CPU = change(CPU, model=_HE, schedule=_once(300))
_CPU_LONG = change(CPU_LONG, model=_HE, schedule=_once(_EPOCHS, recalibrated_tests=True))
_LONG = change(OVERNIGHT, model=_HE, schedule=_once(_EPOCHS, recalibrated_tests=True))
_ALX = change(ALX, schedule=Schedule(20 * 390, eval_every=390, probe_every=390, recalibrated_tests=True))
_SMOKE_ADAM = change(SMOKE, optimizer={"name": "adam"})
PRESETS = {
    "cpu": Config(_CPU, OVERNIGHT_ALX, RATES[2:], (3.16e-2, 0.1, 0.316), start_steps=150, adam_rates=()),
    "smoke": Config(
        change(SMOKE, model=_HE, schedule=_once(40)),
        _SMOKE_ADAM,
        (0.01, 0.1, 1.0),
        (0.1,),
        ("x1", "x10"),
        start_steps=20,
        line_points=40,
        adam_rates=(1e-3,),
    ),
    # From He weights alone. The single batch norm does best at a small learning rate, which should not be its smallest.
    "cpu_long": Config(_CPU_LONG, OVERNIGHT_ALX, RATES[3:], RATES[3:7], ("x1",), start_steps=_EPOCHS, adam_rates=()),
    "overnight": Config(_LONG, OVERNIGHT_ALX),
    "paper": Config(change(_LONG, model={"width": 1.0}), _ALX),
}

_KEPT: dict[str, Any] = {"train": training(100, "loss", "accuracy")}
KEEP = {
    "arms": _KEPT,
    "starts": _KEPT,
    "line": {"landscape": scans("step_sizes", "start_loss", "loss", "gradient_norm")},
    "adam": IfMeasured(_KEPT),
}


def start(name: Start) -> Setting:
    """Return the setting of initial weights."""
    return Setting(name, STARTS[name].words)


def step_sizes(num_points: int) -> tuple[float, ...]:
    """Return the step sizes of the line search: 30 from 1e-5 to 0.1, further ones at the same ratio."""
    return tuple(10 ** (-5 + 4 * point / (PUBLISHED_POINTS - 1)) for point in range(num_points))


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name the nets: at each learning rate, from each initial weights, of the line search, and with Adam at each rate."""
    vgg, last = config.vgg, BatchNorm.like(config.vgg.norm, layers=(config.vgg.model.num_normalised,))
    shorter = {"schedule": _once(config.start_steps, recalibrated_tests=vgg.schedule.recalibrated_tests)}
    multiples = tuple(size / vgg.optimizer.learning_rate for size in step_sizes(config.line_points))
    line = change(vgg.measuring("landscape"), schedule=_LINE, probes={"landscape": {"step_multiples": multiples}})
    arms, starts, adam = {}, {}, {}
    for rate in config.learning_rates:
        for net, norm in (("plain", NoNorm()), ("batch_norm", vgg.norm), ("batch_norm_last", last)):
            if net != "batch_norm_last" or rate in config.last_rates:
                arms[learning_rate(rate).arm(net)] = arm(vgg, norm=norm, optimizer={"learning_rate": rate})
    for name in config.starts:
        weights = {"kernel_init": STARTS[name].kernel_init, "kernel_scale": STARTS[name].kernel_scale}
        for net, run in with_and_without(change(vgg, model=weights, **shorter)).items():
            starts[start(name).arm(net)] = run
    for rate in config.adam_rates:
        for net, run in with_and_without(change(config.adam, optimizer={"learning_rate": rate})).items():
            adam[learning_rate(rate, "adam").arm(net)] = run
    return {"arms": arms, "starts": starts, "line": with_and_without(line), **({"adam": adam} if adam else {})}
