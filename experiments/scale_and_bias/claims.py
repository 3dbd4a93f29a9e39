"""Claims about initial scales, about what is not trained, about the landscape, and about scale and bias alone."""

from experiments._evidence.claim import Claim, claims
from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.quantity import Quantity
from experiments._evidence.source import COOIJMANS, IOFFE, SANTURKAR, SANTURKAR_THEORY, Source, ours
from experiments._evidence.statistic import Statistic
from experiments.scale_and_bias import SCALES, USUAL, depth
from experiments.scale_and_bias.quantities import (
    LANDSCAPE,
    RATIO,
    RECALIBRATED,
    SMALL,
    TEST,
    at_scale,
    gain_by_depth,
    of_shallowest,
    order_of_scales,
    smallest_gain_by_depth,
    spread_of_scales,
)

_FRANKLE = Source("Frankle, Schwab & Morcos 2021", "paper", "arxiv.org/abs/2003.00152", "ResNets on CIFAR-10")
_RE_RUN = Source(
    "tdtce's repository BatchNorm_params_training",
    "replication",
    "github.com/tdtce/BatchNorm_params_training",
    "ResNets of 14 to 218 layers on CIFAR-10, one run each, weights of the smallest held-out loss, on the test images",
)
_AIRBENCH = Source(
    "K. Jordan's repository research-airbench, notes in mix_airbench.py",
    "replication",
    "github.com/KellerJordan/research-airbench",
    "a net of seven convolutions on CIFAR-10 with augmentation, 10 epochs, 50 runs, images tested in several views",
)
_IOFFE, _THEOREM = Source(IOFFE.title, IOFFE.origin, IOFFE.address).at("Sec. 3"), SANTURKAR_THEORY.at("Theorem 4.1")
_LONG = 160 * 390  # steps, as published
# Accuracy by residual blocks in a stage: the best on held-out training images; on test images, at the smallest held-out loss.
_LEVELS = {2: (0.476, 0.469), 18: (0.692, 0.7)}
_PRE_ACTIVATION = "here normalisers before the convolutions, a learning rate that stays, and no augmentation"
_FEW = "measured late, since scales start at 1 and come near 0 slowly"
_LOGITS = "the scale of the last batch norm multiplies the logits, so the nets do not compute the same function"
_ABSORBED = "a positive scale before a ReLU is one after it, which the next layer's batch norm undoes"


def _of_landscape() -> dict[str, Claim]:
    """Make the claims about the landscape without scale and bias, in three measures."""
    words = {
        "loss range": ("range", "the loss has a smaller range along the gradient"),
        "gradient change": ("gradient", "the gradient changes less along itself"),
        "smoothness": ("smoothness", "the gradient changes less per unit distance along itself"),
    }
    made = {}
    for name, quantity in LANDSCAPE.items():
        part, less = words[name]
        later = quantity.median(first=1)
        made[f"affine_{part}"] = Claim(
            f"With batch norm without scale and bias, {less} than in the net without batch norm, in the median over the "
            "training after step 0.",
            SANTURKAR.at("Sec. 3 and 4"),
            later.over("plain", "no_affine").above(1),
            repeats="affine_range" if made else None,  # of the same runs, the first one counts
            hypothesis="smoothness",
            speaks="for, else against",
            differs="the source's batch norm has scale and bias, which its theorems hold fixed",
        )
    return made


def _ordered(quantity: Quantity) -> Statistic:
    return order_of_scales(quantity.median(0, 0), *SCALES)


CLAIMS = claims(
    "none",
    "2026-11-29",
    affine_gain=Claim(
        "The net with batch norm ends with a higher test accuracy with scale and bias than without either.",
        _IOFFE,
        (at_scale(TEST, USUAL) - TEST.each("no_affine")).above(0),
        remark="the source says that they restore what a layer can represent, and gives no numbers",
    ),
    affine_gain_recalibrated=Claim(
        "Tested with statistics recomputed over the training images, the net with batch norm ends with a higher test accuracy "
        "with scale and bias than without either.",
        ours("a control: whether running statistics, which lag, make the difference"),
        (at_scale(RECALIBRATED, USUAL) - RECALIBRATED.each("no_affine")).above(0),
        caveat_of="affine_gain",
        since="2026-11-30",
    ),
    affine_bias=Claim(
        "The net with batch norm ends with a higher test accuracy with trained biases of the normalisers than with biases that "
        "stay at 0, scales being trained.",
        _AIRBENCH,
        (at_scale(TEST, USUAL) - TEST.each("fixed_bias")).above(0),
        "93.88 % and 93.41 %, or +0.47 points",
        differs="here scales are trained; the source keeps them at 1, and for both numbers its first layer's bias at 0",
    ),
    affine_scale=Claim(
        "The net with batch norm ends within 2 points of the same test accuracy with trained scales as with scales that stay "
        "at 1, biases being trained.",
        ours(f"a control: {_ABSORBED}"),
        (at_scale(TEST, USUAL) - at_scale(TEST, USUAL, "fixed_scale")).within(0.02),
        remark="2 points, since seeds of short runs differ by about one",
    ),
    affine_fixed=Claim(
        "With batch norm, the test accuracies of the nets whose scales stay at 0.1, 0.5, 1 and 2, biases being trained, "
        "lie less than 5 points apart.",
        ours(f"a control: {_ABSORBED}"),
        spread_of_scales(TEST, "fixed_scale", *SCALES).below(0.05),
        remark=_LOGITS,
    ),
    affine_initial=Claim(
        "With batch norm, the test accuracies from initial scales of 0.1, 0.5, 1 and 2 lie less than 5 points apart, "
        "scales and biases being trained.",
        ours(f"a control: {_ABSORBED}"),
        spread_of_scales(TEST, "batch_norm", *SCALES).below(0.05),
        remark=_LOGITS,
    ),
    affine_initial_recalibrated=Claim(
        "Tested with statistics recomputed over the training images, with batch norm, the test accuracies from initial scales "
        "of 0.1, 0.5, 1 and 2 lie less than 5 points apart, scales and biases being trained.",
        ours("a control: whether running statistics, which lag, make the difference"),
        spread_of_scales(RECALIBRATED, "batch_norm", *SCALES).below(0.05),
        remark=_LOGITS,
        caveat_of="affine_initial",
        since="2026-11-30",
    ),
    affine_small=Claim(
        "The net with batch norm ends with a higher test accuracy from an initial scale of 0.1 than from one of 1.",
        COOIJMANS.at("Sec. 4"),
        (at_scale(TEST, 0.1) - at_scale(TEST, USUAL)).above(0),
        differs="here a VGG; in the source a recurrent net, whose units a scale of 1 saturates",
    ),
    **_of_landscape(),
    affine_same_range=Claim(
        "With batch norm, the ranges of the loss along the gradient with and without scale and bias differ by a factor of less "
        "than 1.5, in the median over the training after step 0.",
        ours("a question of Huber's article: what scale and bias have to do with smoothness"),
        (
            at_scale(LANDSCAPE["loss range"].median(first=1), USUAL)
            / LANDSCAPE["loss range"].median(first=1).each("no_affine")
        ).between(1 / 1.5, 1.5),
        remark="1.5 is a limit of ours; in the net with scale and bias, steps along the gradient move these, too",
    ),
    affine_start=Claim(
        "At initialisation, with batch norm, the range of the loss along the gradient is larger with each of the initial "
        "scales 0.5, 1 and 2 than with the next smaller one, beginning at 0.1.",
        _THEOREM,
        _ordered(LANDSCAPE["loss range"]).above(1),
        remark="in the theorem, batch norm multiplies gradients by scale / sigma; with one initial scale in all layers, this "
        "ratio depends on it in the first layer only, and the last scale multiplies the logits",
    ),
    affine_later=Claim(
        "With batch norm, in the median over the training after step 0, the range of the loss along the gradient is "
        "larger from an initial scale of 2 than from one of 0.1.",
        _THEOREM,
        order_of_scales(LANDSCAPE["loss range"].median(first=1), 0.1, 2.0).above(1),
        remark="in the theorem, batch norm multiplies gradients by scale / sigma; nothing says that training keeps the order",
    ),
    affine_factor=Claim(
        "At the end of training, the ratio of batch norm's |scale| to sigma, the standard deviation of its input, is below 1, "
        "in the median over units and then over layers.",
        _THEOREM,
        at_scale(RATIO.at_end(), USUAL).below(1),
        remark="the source gives no value; the norm of the weights, on which batch norm's output does not depend, sets sigma",
    ),
    affine_alone=Claim(
        "The VGG of which batch norm's scale and bias alone are trained ends at a test accuracy above 20 %, twice that of a "
        "guess.",
        _FRANKLE,
        TEST.each("norms_only", group="alone").above(0.2),
        differs="in the source ResNets, and VGGs of full width, trained to the end",
    ),
    affine_alone_resnet=Claim(
        "The shallowest residual network of which batch norm's scale and bias alone are trained ends at a test accuracy "
        "above 20 %, twice that of a guess.",
        _RE_RUN,
        of_shallowest(TEST).above(0.2),
        "46.9 % at 14 layers; 48.0 % in logs of github.com/latkam/atml-project",
        differs=_PRE_ACTIVATION,
    ),
    affine_alone_depth=Claim(
        "Of residual networks of which batch norm's scale and bias alone are trained, the deepest ends with a higher test "
        "accuracy than the shallowest.",
        _RE_RUN,
        gain_by_depth(TEST).above(0),
        "76.0 % at 218 layers and 46.9 % at 14, or +29.2 points",
        differs=_PRE_ACTIVATION,
    ),
    affine_alone_each=Claim(
        "Of residual networks of which batch norm's scale and bias alone are trained, each ends with a higher test "
        "accuracy than the next shallower one.",
        _RE_RUN,
        smallest_gain_by_depth(TEST).above(0),
        "46.9, 56.9, 62.6, 70.0 and 76.0 % at 14, 32, 56, 110 and 218 layers, or +5.7 points or more",
        differs=_PRE_ACTIVATION,
    ),
    **{
        f"affine_alone_{depth(blocks).suffix}": Claim(
            f"After 62,400 steps, a residual network of {6 * blocks + 2} layers and width 16, of which batch norm's scale "
            f"and bias alone are trained, has a test accuracy within 5 points of {100 * level:g} %.",
            _RE_RUN,
            TEST_ACCURACY.at(_LONG)
            .each("norms_only", depth(blocks), "resnet")
            .where("resnet.model.width", 16, "a ResNet of width 16, as preset paper has")
            .within(0.05, of=level),
            f"{100 * tested:.1f} %; {100 * level:g} % at the best epoch, on held-out training images",
            remark="5 points, since neighbouring depths of the source differ by 4.7 to 9.7 on held-out images",
            differs=_PRE_ACTIVATION,
        )
        for blocks, (level, tested) in _LEVELS.items()
    },
    affine_alone_small=Claim(
        "After 5,000 steps, more of the VGG's scales are below 0.01 in absolute value where batch norm's scale and bias alone "
        "are trained than where all parameters are.",
        _FRANKLE,
        (SMALL.first(after=5000).each("norms_only", group="alone") - at_scale(SMALL.first(after=5000), USUAL)).above(0),
        "around a third where they alone are trained",
        remark=_FEW,
        differs="in the source ResNets",
    ),
    affine_alone_third=Claim(
        "After 61,000 steps, between 20 % and 50 % of the scales of the shallowest residual network are below 0.01 in absolute "
        "value, where batch norm's scale and bias alone are trained.",
        _FRANKLE,
        of_shallowest(SMALL.first(after=61_000)).between(0.2, 0.5),
        "around a third",
        remark="a fifth to a half counts as around a third",
        differs=_PRE_ACTIVATION,
    ),
)
