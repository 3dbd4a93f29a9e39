"""Claims of the theorems, each checked on the units of real networks."""

from dataclasses import replace
from typing import Any

from experiments._evidence.claim import Claim, claims
from experiments._evidence.format import Format
from experiments._evidence.quantity import Measure
from experiments._evidence.source import IOFFE, SANTURKAR_THEORY, Source, ours
from experiments._evidence.statistic import Statistic
from experiments._nets import NETS
from experiments.theory_bounds.quantities import ACCEPTED, SHOWN, largest_error, share

_LATE, _LATER = "2026-11-22", "2026-11-29"
_IOFFE = replace(IOFFE.at("Sec. 3.3"), setup="")
_EVERY = "at every unit and step checked"
_OF = "of Santurkar et al. 2018"
_SHARE = Format("z.2f", "%", 100)  # in which a unit in some thousand shows


def _in(arm: str, measure: Measure) -> Statistic:
    return replace(measure.each(arm), who=NETS[SHOWN[arm]].short)


def _equality(
    measured: str,
    statement: str,
    source: Source,
    arm: str = "batch_norm",
    accepted: float = ACCEPTED,
    published: str = "proved",
) -> Claim:
    return Claim(statement, source, _in(arm, largest_error(measured)).below(accepted), published)


def _bound(
    statement: str,
    source: Source,
    holds_at: tuple[str, str],
    published: str = "proved",
    of: str = "active",
    **more: Any,
) -> Claim:
    """Make the claim that a statement holds at all units and steps of a net."""
    arm, measured = holds_at
    shared = replace(_in(arm, share(measured, of)), format=_SHARE)
    return Claim(statement, source, shared.above(0.9999), published, **more)


# Neither a proof nor a bound whose factor scale / deviation may exceed 1 shows that a trained net is smoother.
CLAIMS = claims(
    "smoothness",
    "2026-11-21",
    "neither",
    theory_theorem_4_1=_equality(
        "theorem_4_1",
        f"With batch norm of epsilon 0, the bound of Theorem 4.1 {_OF} on the gradient by a unit's pre-activations is an "
        f"equality, {_EVERY}.",
        SANTURKAR_THEORY.at("Theorem 4.1, which states <="),
    ),
    theory_epsilon=_bound(
        "With batch norm inserted into a trained plain net and an epsilon of 1 added to the variance, the bound of Theorem 4.1 "
        f"{_OF} on the gradient by a unit's pre-activations holds, {_EVERY}.",
        SANTURKAR_THEORY.at("Theorem 4.1"),
        ("plain", "epsilon 1"),
    ),
    theory_theorem_4_2=_equality(
        "theorem_4_2",
        f"With batch norm of epsilon 0, the first line of Theorem 4.2 {_OF}, on the curvature along the gradient by a unit's "
        f"pre-activations, is an equality, {_EVERY}.",
        SANTURKAR_THEORY.at("Theorem 4.2, which states <="),
    ),
    theory_second_line=_bound(
        f"In a net trained with batch norm, the second line of Theorem 4.2 {_OF}, on the curvature along the gradient by a "
        f"unit's pre-activations, holds with the net's own Hessian, {_EVERY}.",
        ours("the inequality of Santurkar et al. 2018, Theorem 4.2, where its premise may fail"),
        ("batch_norm", "relaxed_holds"),
        "-",
        caveat_of="theory_theorem_4_2",
        remark="the paper states this line for Hessians that preserve the relative norms of the gradients with and without "
        "batch norm",
        speaks="for",
    ),
    theory_preserved_outputs=_equality(
        "preserved_outputs",
        "Batch norm can be inserted into a trained plain net without changing its outputs.",
        SANTURKAR_THEORY.at("Observation 4.3"),
        "plain",
        accepted=1e-6,
    ),
    theory_gradient_not_larger=_bound(
        "Batch norm that is inserted into a trained plain net without changing its outputs makes no unit's gradient longer, "
        f"{_EVERY}.",
        SANTURKAR_THEORY.at("Observation 4.3 with Theorem 4.1"),
        ("plain", "gradient_not_larger"),
        remark="proved, so that it speaks for neither side",
    ),
    theory_gradient_not_larger_trained=_bound(
        "In a net trained with batch norm, no unit's gradient is longer at the input of batch norm than at its output, "
        f"{_EVERY}.",
        ours("the comparison of Observation 4.3, with the scales that training learns"),
        ("batch_norm", "gradient_not_larger"),
        "-",
        caveat_of="theory_gradient_not_larger",
        speaks="for",
    ),
    theory_theorem_4_4=_bound(
        f"With batch norm, the bound of Theorem 4.4 {_OF} on the gradient by a unit's weights holds in the form of its proof, "
        f"{_EVERY}.",
        SANTURKAR_THEORY.at("Theorem 4.4, as its proof gives it"),
        ("batch_norm", "corrected_holds"),
    ),
    theory_theorem_4_4_printed=_bound(
        f"With batch norm, the bound of Theorem 4.4 {_OF} on the gradient by a unit's weights holds as printed, {_EVERY}.",
        SANTURKAR_THEORY.at("Theorem 4.4, whose printed line loses factors of m and lambda squared"),
        ("batch_norm", "printed_holds"),
        "printed; its proof gives another form",
        caveat_of="theory_theorem_4_4",
    ),
    theory_theorem_c_1=_bound(
        f"With batch norm, the bound of Theorem C.1 {_OF} on the curvature along the gradient by a unit's weights holds for "
        "the layer's own inputs wherever the bound is not negative.",
        SANTURKAR_THEORY.at("Theorem C.1, where its bound is not negative"),
        ("batch_norm", "c_1_not_negative_holds"),
        "proved for white inputs",
        of="c_1_not_negative",
        remark="the bound is the curvature of white inputs; others of the same norm can turn the gradient towards directions "
        "of larger curvature: one unit that exceeds the bound is enough to refute the statement, and in two seeds of preset "
        "paper one does, by factors of 1.5 and 3.3",
        since=_LATER,
    ),
    theory_theorem_c_1_premise=_bound(
        f"With batch norm, the bound of Theorem C.1 {_OF} on the curvature along the gradient by a unit's weights is not "
        f"negative, {_EVERY}.",
        ours("where the bound of Santurkar et al. 2018, Theorem C.1, can hold"),
        ("batch_norm", "c_1_not_negative"),
        "-",
        caveat_of="theory_theorem_c_1",
        since=_LATER,
    ),
    theory_lemma_4_5=_equality(
        "lemma_4_5",
        "With batch norm, if a unit's trained weights stand for the optimum and a positive multiple of them is the nearest to "
        f"the initial weights, it lies closer to these than the optimum by the amount in Lemma 4.5 {_OF}.",
        SANTURKAR_THEORY.at("Lemma 4.5"),
    ),
    theory_orthogonal=_equality(
        "orthogonal",
        "With batch norm of epsilon 0, the gradient by a unit's weights is orthogonal to these weights.",
        _IOFFE.at("scale invariance"),
        published="follows from BN(aWu) = BN(Wu)",
    ),
    theory_rescaled_weights_gradient=_equality(
        "rescaled_weights_gradient",
        "With batch norm of epsilon 0, multiplying a layer's weights by 3 divides their gradient by 3.",
        _IOFFE,
    ),
    theory_smoother=Claim(
        f"In a net trained with batch norm, the condition under which Theorem 4.2 {_OF} gives a smoother landscape, a positive "
        "inner product of gradient and normalised activations and a non-negative curvature, holds at more than half of the "
        "units and steps checked.",
        ours(
            "how often the condition of Santurkar et al. 2018, Theorem 4.2, holds: non-negative curvature, and a positive "
            "inner product of gradient and normalised activations"
        ),
        _in("batch_norm", share("smoother")).above(0.5),
        speaks="for",
    ),
)
