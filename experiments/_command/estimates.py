"""Estimate the time of runs that nobody has measured as a whole: number of steps times seconds per step.

The seconds per step hold for two CPU cores with two runs side by side. For VGG-A with batches of 128 they are of runs with all
measurements, beside other work: at a quarter of the width 30,000 steps in 3,838 s (preset evening), at full width 7,000 in
6,016 s (full_width_evening), and 7,800 in 3,461 s with the reduced head of Mameli's net, which is measured less often
(full_width of mameli). With tests alone two idle cores train 14 steps per second at a quarter of the width (13 on another
machine). The time is proportional to the batch size, with a minimum at 8 images. Residual networks take as long as a VGG with
as many products.
Other nets were timed in preset cpu: all deep linear networks, 700,000 steps in 1,702 s, and all perceptrons of mnist_mlp,
390,000 steps in 311 s. For the LSTM with batch norm over 28 rows, 300 steps of 4 images took 1.1 s of a core, and 20 steps of
128 images 1.7 s, without tests; other batch sizes lie on the line through these two. For BN-Inception at an eighth of the
width, with a stem of stride 2, a step of 32 images took 0.08 s of a core, beside much other work, and a test as long as 100
steps; the time of other sizes is proportional to their products.
"""

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from bnjax.models.shapes import DeepLinearShape, InceptionShape, LSTMShape, MLPShape, ResNetShape, VGGShape
from experiments._config import NoNorm, RunConfig

ESTIMATED = "estimated for two CPU cores, not measured"
_PROBED, _TESTED, _FULL, _REDUCED = 3838 / 30_000, 1 / 14, 6016 / 7000, 3461 / 7800
_DEEP_LINEAR, _PERCEPTRON = 1702 / 7e5, 311 / 3.9e5
_LSTM, _LSTM_IMAGE = 0.00042, 0.000333  # seconds per step, and per image in it
_INCEPTION, _INCEPTION_BATCH = 0.06, 32  # seconds per step, and its number of images
_FEW_PRODUCTS = 0.2  # share of that step's products, below which a step takes no less time
_BATCH, _PERCEPTRON_BATCH = 128, 60  # examples of the VGGs' and the perceptron's steps
_SMALL_BATCH = 8  # examples, below which a step takes no less time
_AS_LARGE = (
    188  # blocks times squared width of the residual network with as many products as a VGG-A of a quarter of the width
)


def estimated(configs: Iterable[Any], experiments: Iterable[ModuleType]) -> float | None:
    """Estimate the seconds of all runs of some experiments, shared runs once; None if the time of any is unknown.

    Args:
        configs: configurations of the experiments.
        experiments: their packages.
    """
    longest: dict[Any, tuple[int, bool]] = {}
    for config, experiment in zip(configs, experiments, strict=True):
        if not hasattr(experiment, "groups"):  # it measures in its own way
            return None
        for run in (run for arms in experiment.groups(config).values() for run in arms.values()):
            for key in ((run.net(), seed) for seed in run.seeds):
                steps, is_probed = longest.get(key, (0, False))
                longest[key] = max(steps, run.schedule.num_steps), is_probed or bool(run.probes.kinds)
    seconds = [(steps, _step_seconds(net, is_probed)) for (net, _), (steps, is_probed) in longest.items()]
    known = [steps * each for steps, each in seconds if each is not None]
    return sum(known) if len(known) == len(seconds) > 0 else None


def _step_seconds(net: RunConfig, is_probed: bool) -> float | None:
    """Return the seconds per step, measurements included; None if unknown."""
    shape, batch_size = net.model, net.optimizer.batch_size
    match shape:
        case DeepLinearShape(depth=25, width=10) if batch_size == 1000:
            return _DEEP_LINEAR
        case MLPShape(hidden=(100, 100, 100)) if batch_size >= _PERCEPTRON_BATCH:
            return _PERCEPTRON * batch_size / _PERCEPTRON_BATCH
        case ResNetShape(num_blocks=num_blocks, width=width):
            return _TESTED * num_blocks * width**2 / _AS_LARGE * max(batch_size, _SMALL_BATCH) / _BATCH
        case InceptionShape(width=width, stem_stride=stem_stride):
            products = (8 * width) ** 2 * (2 / stem_stride) ** 2 * batch_size / _INCEPTION_BATCH
            return _INCEPTION * max(products, _FEW_PRODUCTS)
        case LSTMShape(features=100):
            return _LSTM + _LSTM_IMAGE * batch_size
        case VGGShape(depth="A", width=1.0, head="512"):
            return _FULL * max(batch_size, _SMALL_BATCH) / _BATCH
        case VGGShape(depth="A", width=1.0, head="mameli_reduced"):
            return _REDUCED * max(batch_size, _SMALL_BATCH) / _BATCH
        case VGGShape(depth="A", width=0.25):
            is_slow = is_probed or net.norm.kind not in (NoNorm.kind, "batch")
            return (_PROBED if is_slow else _TESTED) * max(batch_size, _SMALL_BATCH) / _BATCH
    return None
