"""Claims about the dependence between layers; no numbers are published, so all are predictions of the hypothesis."""

from experiments._evidence.claim import Claim, claims
from experiments._evidence.quantity import Quantity
from experiments._evidence.source import VERSUS, Source, ours
from experiments._evidence.statistic import Statistic
from experiments.layer_dependence.quantities import RATE, RELATIVE, SHARE, at_step, control, of_blocks

_GOODFELLOW = Source(
    "Goodfellow, Bengio & Courville 2016, Deep Learning, Sec. 8.7.1",
    "paper",
    "www.deeplearningbook.org/contents/optimization.html",
)
_R = (
    "the interaction ratio R (the change of the loss by a joint step along minus the gradient, less the sum of the changes by "
    "each layer's part of it alone, over the first-order change)"
)
_LESS = "is smaller in absolute value with batch norm than without, in the median over the training"
_AT_RATE = "At the learning rate of the training,"
_LENGTH = "At a step of 0.3 % of the norm of all parameters,"
_ONLY_REASONED = "the source measures nothing; the ratio is ours, and any difference counts"
_ELSEWHERE = "the source measures nothing; the measure is ours, and any difference counts"
_MOMENTS = "the means and standard deviations of a hidden layer's units"
_MEDIAN = "in the median over the layers and over the training"
_SET = (
    "with batch norm, earlier layers change mean and variance after a ReLU only through the shape of the distribution, since "
    "bias and scale set the rest, so the claim counts for neither side"
)


def _over(quantity: Quantity) -> Statistic:
    """Divide the median over training with batch norm by that without."""
    return quantity.median().over("batch_norm", "plain")


def _minus(quantity: Quantity) -> Statistic:
    return quantity.median().minus("batch_norm", "plain")


CLAIMS = claims(
    "interdependence",
    "2026-11-29",
    "for, else against",
    dependence_rate=Claim(
        f"{_AT_RATE} {_R} {_LESS}.",
        VERSUS,
        at_step(_over, "step_multiples", RATE).below(1),
        remark=_ONLY_REASONED,
    ),
    dependence_small=Claim(
        f"At a tenth of the learning rate of the training, {_R} {_LESS}.",
        ours("a control: whether the comparison at equal step sizes depends on their length"),
        at_step(_over, "step_multiples", 0.1).below(1),
    ),
    dependence_relative=Claim(
        f"{_LENGTH} {_R} {_LESS}.",
        VERSUS,
        at_step(_over, "relative_steps", RELATIVE).below(1),
        remark=_ONLY_REASONED,
    ),
    dependence_share=Claim(
        "In the sum of the absolute values of a gradient step's second-order terms, those between different layers have a "
        "smaller share with batch norm than without, in the median over the training.",
        VERSUS,
        _minus(SHARE).below(0),
        remark=_ELSEWHERE,
    ),
    dependence_second=Claim(
        f"{_LENGTH} to second order, {_R} {_LESS}.",
        VERSUS,
        at_step(_over, "relative_steps", RELATIVE, "second_order_ratio").below(1),
        repeats="dependence_relative",
        remark=_ONLY_REASONED,
    ),
    dependence_blocks=Claim(
        "In a middle layer's row of blocks of the Hessian, the blocks with other layers have a smaller share of the sum of "
        "Frobenius norms with batch norm than without, in the median over the training.",
        VERSUS,
        of_blocks(_minus).below(0),
        remark=_ELSEWHERE,
    ),
    dependence_matters=Claim(
        f"{_AT_RATE} {_R} is above 0.1 in absolute value without batch norm, in the median over the training.",
        _GOODFELLOW,
        at_step(lambda quantity: quantity.median().each("plain"), "step_multiples", RATE).above(0.1),
        remark="the source says that higher orders can matter, not how much; a tenth of the first order is a limit of ours",
        speaks="neither",
    ),
    dependence_negligible=Claim(
        f"{_AT_RATE} {_R} is below 0.1 in absolute value with batch norm, in the median over the training.",
        VERSUS,
        at_step(lambda quantity: quantity.median().each("batch_norm"), "step_multiples", RATE).below(0.1),
        remark="the source measures nothing; a tenth of the first order is a limit of ours",
        speaks="neither",
    ),
    dependence_control=Claim(
        f"A step of the earlier layers changes {_MOMENTS}, after the normaliser where there is one and before the activation, "
        f"less than a tenth as much per unit of the step with batch norm as without, {_MEDIAN}.",
        _GOODFELLOW,
        _over(control("preactivations", "earlier_gain")).below(0.1),
        remark="true by construction, except for epsilon, so that it checks the measure",
        speaks="neither",
    ),
    dependence_control_before=Claim(
        f"A step of the earlier layers changes {_MOMENTS}, before the normaliser where there is one, less with batch norm than "
        f"without, relative to these moments and to the parameters, {_MEDIAN}.",
        ours("a control: whether the moments are steadier even where nothing sets them"),
        _over(control("unnormalised", "relative_gain")).below(1),
        speaks="neither",
    ),
    dependence_control_after=Claim(
        f"A step of the earlier layers changes {_MOMENTS} after the activation less per unit of the step with batch norm "
        f"than without, {_MEDIAN}.",
        VERSUS,
        _over(control("activations", "earlier_gain")).below(1),
        remark=f"{_ELSEWHERE}; {_SET}",
        speaks="neither",
    ),
    dependence_control_relative=Claim(
        f"A step of the earlier layers changes {_MOMENTS} after the activation less with batch norm than without, relative to "
        f"these moments and to the parameters, {_MEDIAN}.",
        VERSUS,
        _over(control("activations", "relative_gain")).below(1),
        remark=f"{_ELSEWHERE}; {_SET}",
        speaks="neither",
    ),
    dependence_control_share=Claim(
        f"Of the change of {_MOMENTS} after the activation by a gradient step, the part that earlier layers cause, compared "
        f"with that of the layer's own parameters, is smaller with batch norm than without, {_MEDIAN}.",
        VERSUS,
        _minus(control("activations", "earlier_share")).below(0),
        remark=f"{_ELSEWHERE}; {_SET}",
        speaks="neither",
    ),
)
