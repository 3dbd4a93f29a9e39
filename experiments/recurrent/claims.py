"""Claims about LSTMs with and without normalisers, and the quantities that decide them."""

import math
from dataclasses import replace

import numpy as np

from experiments._evidence.claim import Claim, claims
from experiments._evidence.format import PERCENT, TIMES
from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Recorded, array
from experiments._evidence.source import BA, COOIJMANS, HUBER, Source, ours
from experiments._evidence.statistic import Statistic
from experiments.recurrent import setting

ACCURACY = replace(TEST_ACCURACY, format=PERCENT._replace(spec="z.2f"))  # nets here differ by tenths of a point
# The initial scale of each source.
LOW, ONE = setting(0.1), setting(1.0)
_LATE = 4_600  # steps, near the end of ten epochs of all images
_PIXELS = "here the sequences are the rows of an image, not its pixels"
_TASKS = "here the LSTM classifies images by their rows; the source's recurrent nets have other tasks"
_GATES = "here an LSTM, which has gates, on the rows of an image"
_HUBER = replace(HUBER.at("Sec. C.2.5"), setup="")
_FASTER = COOIJMANS.at("Sec. 5.1, Fig. 2")
_FLOW_SOURCE = replace(COOIJMANS.at("Sec. 4, Fig. 1a"), setup="a tanh RNN without gates on the 784 pixels of MNIST")


def _first_to_last(record: Recorded) -> np.ndarray:
    """Divide the gradient's norm after the first time step by that after the last; NaN where one underflowed to 0."""
    norms = array(record["norm"])
    first, last = norms[:, 0], norms[:, -1]
    known = (first > 0) & (last > 0)
    return np.divide(first, last, out=np.full(len(norms), np.nan), where=known)


FLOW = Quantity(
    "hidden_gradients",
    _first_to_last,
    "gradient by the hidden states after the first time step / after the last",
    TIMES,
    if_diverged=math.nan,
)
_START = FLOW.median(0, 0)
_END = ACCURACY.at_end()


def _small(statistic: Statistic) -> Statistic:
    """Restrict a statistic to data with small mini-batches of 4."""
    return statistic.where("small.optimizer.batch_size", 4, "mini-batches of 4")


def _large(statistic: Statistic) -> Statistic:
    """Restrict a statistic to data with large mini-batches of 128."""
    return statistic.where("large.optimizer.batch_size", 128, "mini-batches of 128")


def _of_all_images(statistic: Statistic) -> Statistic:
    return _large(statistic).where("large.data.subset", None, "all 60,000 training images")


def _flow(net: str, *at: object) -> Statistic:
    return _large(_START.each(net, *at, group="large"))  # pyright: ignore[reportArgumentType]


_LN = "layer norm of initial scale 1"
_BN = "batch norm of initial scale 0.1 and separate statistics for each time step"
_LAYER, _BATCH = ("layer_norm", ONE), ("batch_norm", LOW)


def _faster(better: str, worse: str, slow: tuple, fast: tuple, source: Source, differs: str) -> tuple[Claim, Claim]:
    """Claim that one net reaches 97 % in fewer steps than another, and 90 %, for which part of the images suffices."""

    def claim(level: float, within: int) -> Claim:
        reach = ACCURACY.steps_to(level, points=1, within=within)
        ratio = reach.each(*slow, group="large") / reach.each(*fast, group="large")
        statistic = _of_all_images(ratio) if within else _large(ratio)
        return Claim(
            f"With mini-batches of 128, the LSTM with {better} reaches a test accuracy of {100 * level:g} % in fewer steps "
            f"than {worse}.",
            source,
            statistic.above(1),
            differs=differs,
        )

    return claim(0.97, _LATE), claim(0.9, 0)


_PLAIN = "the plain LSTM"
_BATCH_97, _BATCH_90 = _faster(_BN, _PLAIN, ("plain",), _BATCH, _FASTER, _PIXELS)
_LAYER_97, _LAYER_90 = _faster(_LN, _PLAIN, ("plain",), _LAYER, BA, _TASKS)
_LAYER_BATCH_97, _LAYER_BATCH_90 = _faster(_LN, f"the one with {_BN}", _BATCH, _LAYER, BA.at("Sec. 6.2"), _TASKS)
_STEP_90 = ACCURACY.steps_to(0.9, points=1)
_SAME_STEPS = "both nets take the same training steps, and differ in evaluation only"

CLAIMS = claims(
    "none",
    "2026-11-29",
    recurrent_batch_norm_steps=_BATCH_97,
    recurrent_batch_norm_steps_part=_BATCH_90,
    recurrent_layer_norm_steps=_LAYER_97,
    recurrent_layer_norm_steps_part=_LAYER_90,
    recurrent_layer_norm_first=_LAYER_BATCH_97,
    recurrent_layer_norm_first_part=_LAYER_BATCH_90,
    recurrent_accuracy=Claim(
        f"With mini-batches of 128, the LSTM with {_BN} ends at a higher test accuracy than the plain LSTM.",
        COOIJMANS.at("Table 1"),
        _large(_END.each(*_BATCH, group="large") - _END.each("plain", group="large")).above(0),
        "99.0 % and 98.9 %, or +0.1 points; with the pixels permuted 95.4 % and 90.2 %, or +5.2 points",
        differs=_PIXELS,
    ),
    recurrent_vanishing=Claim(
        "At initialisation, with batch norm of initial scale 1, the norm of the loss's gradient with respect to the hidden "
        "states after the first time step is less than a tenth of that after the last.",
        _FLOW_SOURCE,
        _flow("batch_norm", ONE).below(0.1),
        "quickly goes to zero",
        differs=_GATES,
    ),
    recurrent_vanishing_plain=Claim(
        "At initialisation, in the plain LSTM, the norm of the loss's gradient with respect to the hidden states after the "
        "first time step is less than a tenth of that after the last.",
        ours("a control: whether gradients vanish without a normaliser, because of the forget gates"),
        _flow("plain").below(0.1),
        caveat_of="recurrent_vanishing",
    ),
    recurrent_flat=Claim(
        "At initialisation, with batch norm of initial scale 0.1, the norms of the loss's gradients with respect to the hidden "
        "states after the first and after the last time step differ by less than a factor of ten.",
        _FLOW_SOURCE,
        _flow("batch_norm", LOW).between(0.1, 10),
        "nearly constant",
        remark="the factor of ten is ours; at preset cpu the ratio, 0.11, is near its end, and that of the plain LSTM is 0.12",
        differs=_GATES,
    ),
    recurrent_scale=Claim(
        "At initialisation, the norm of the loss's gradient with respect to the hidden states after the first time step, "
        "relative to that after the last, is larger with batch norm of initial scale 0.1 than with batch norm of initial "
        "scale 1.",
        _FLOW_SOURCE,
        (_flow("batch_norm", LOW) / _flow("batch_norm", ONE)).above(1),
        "nearly constant with 0.1, quickly goes to zero with 1",
        differs=_GATES,
    ),
    recurrent_scale_accuracy=Claim(
        "With mini-batches of 128 and separate statistics for each time step, the LSTM ends at a higher test accuracy with "
        "batch norm of initial scale 0.1 than with batch norm of initial scale 1.",
        ours("a control: whether what the scale does to gradients matters for accuracy"),
        _large(_END.each("batch_norm", LOW, "large") - _END.each("batch_norm", ONE, "large")).above(0),
    ),
    recurrent_per_step=Claim(
        "With mini-batches of 128 and initial scale 0.1, the LSTM with batch norm ends at a higher test accuracy with separate "
        "running statistics for each time step than with running statistics shared over time.",
        COOIJMANS.at("Sec. 3"),
        _large(_END.minus("batch_norm", "shared_batch", LOW, "large")).above(0),
        differs=_PIXELS,
        remark=_SAME_STEPS,
    ),
    recurrent_per_step_steps=Claim(
        "With mini-batches of 128 and initial scale 0.1, the LSTM with batch norm reaches a test accuracy of 90 % in fewer "
        "steps with separate running statistics for each time step than with running statistics shared over time.",
        COOIJMANS.at("Sec. 3"),
        _large(_STEP_90.over("shared_batch", "batch_norm", LOW, "large")).above(1),
        differs=_PIXELS,
        remark=_SAME_STEPS,
    ),
    recurrent_small_batch=Claim(
        f"With mini-batches of 4, the LSTM ends at a higher test accuracy with {_LN} than with {_BN}.",
        _HUBER,
        _small(_END.each(*_LAYER, group="small") - _END.each(*_BATCH, group="small")).above(0),
    ),
    recurrent_large_batch=Claim(
        f"With mini-batches of 128, the LSTM with {_BN} ends at a test accuracy no more than 0.5 points below that of the one "
        f"with {_LN}.",
        ours(
            "a control: whether batch norm of small scale and statistics of each time step does worse where batches are large"
        ),
        _large(_END.each(*_BATCH, group="large") - _END.each(*_LAYER, group="large")).above(-0.005),
    ),
    recurrent_small_batch_scale=Claim(
        "With mini-batches of 4 and initial scale 0.1, the LSTM ends at a higher test accuracy with layer norm than with batch "
        "norm and separate statistics for each time step.",
        ours("a control: the same initial scale for both normalisers"),
        _small(_END.minus("layer_norm", "batch_norm", LOW, "small")).above(0),
        caveat_of="recurrent_small_batch",
    ),
)
