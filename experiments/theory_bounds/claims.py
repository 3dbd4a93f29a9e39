"""Claims of the theorems, each checked on the units of real networks."""

from dataclasses import replace
from typing import Any

from experiments._evidence.claim import Claim, claims
from experiments._evidence.quantity import Measure
from experiments._evidence.statistic import Statistic
from experiments._nets import NETS
from experiments.theory_bounds.quantities import ACCEPTED, SHOWN, largest_error, share

_SANTURKAR, _IOFFE = "Santurkar et al. 2018", "Ioffe & Szegedy 2015, Sec. 3.3"


def _in(arm: str, measure: Measure) -> Statistic:
    return replace(measure.each(arm), who=NETS[SHOWN[arm]].short)


def _equality(measured: str, statement: str, source: str, arm: str = "batch_norm", accepted: float = ACCEPTED) -> Claim:
    return Claim(statement, source, _in(arm, largest_error(measured)).below(accepted), "proved")


def _bound(statement: str, source: str, holds_at: tuple[str, str], published: str = "proved", **more: Any) -> Claim:
    """Make the claim that a statement holds at all units and steps of a net."""
    arm, measured = holds_at
    return Claim(statement, source, _in(arm, share(measured)).above(0.9999), published, **more)


CLAIMS = claims(
    theory_theorem_4_1=_equality(
        "theorem_4_1",
        "Batch norm takes two components off a unit's gradient and scales the rest; the bound of Theorem 4.1 is an equality.",
        f"{_SANTURKAR}, Theorem 4.1, which states <=",
    ),
    theory_epsilon=_bound(
        "With an epsilon of 1 in the variance, the bound of Theorem 4.1 still holds.",
        f"{_SANTURKAR}, Theorem 4.1",
        ("plain", "epsilon 1"),
    ),
    theory_theorem_4_2=_equality(
        "theorem_4_2",
        "The first line of Theorem 4.2, on the curvature along the gradient, is an equality.",
        f"{_SANTURKAR}, Theorem 4.2, which states <=",
    ),
    theory_second_line_premise=_bound(
        "Where batch norm is inserted and the Hessian preserves relative norms, the second line of Theorem 4.2 holds.",
        f"{_SANTURKAR}, Theorem 4.2, under its premise: a Hessian that is a multiple of the identity",
        ("plain", "isotropic_holds"),
    ),
    theory_second_line_trained=_bound(
        "It does so in a net that is trained with batch norm, whose scales may make a unit's gradient longer.",
        "the same premise, with the scales that training chose",
        ("batch_norm", "isotropic_holds"),
        "stated",
        caveat_of="theory_second_line_premise",
    ),
    theory_second_line=_bound(
        "In such a net it holds with the Hessian that there is, too.",
        "the same inequality, where the premise may fail",
        ("batch_norm", "relaxed_holds"),
        "-",
        caveat_of="theory_second_line_premise",
    ),
    theory_preserved_outputs=_equality(
        "preserved_outputs",
        "A batch norm can be inserted into a trained net without changing what it computes.",
        f"{_SANTURKAR}, Observation 4.3",
        "plain",
        accepted=1e-6,
    ),
    theory_gradient_not_larger=_bound(
        "Inserted so, batch norm makes no unit's gradient longer.",
        f"{_SANTURKAR}, Observation 4.3 with Theorem 4.1",
        ("plain", "gradient_not_larger"),
    ),
    theory_gradient_not_larger_trained=_bound(
        "In a net that is trained with batch norm, too, no unit's gradient is longer than before its normaliser.",
        "the same comparison, with the scales that training chose",
        ("batch_norm", "gradient_not_larger"),
        "-",
        caveat_of="theory_gradient_not_larger",
    ),
    theory_theorem_4_4=_bound(
        "The bound of Theorem 4.4 on the gradient of a unit's weights holds in its corrected form.",
        f"{_SANTURKAR}, Theorem 4.4, as its proof gives it",
        ("batch_norm", "corrected_holds"),
    ),
    theory_theorem_4_4_printed=_bound(
        "The bound of Theorem 4.4 holds as printed.",
        f"{_SANTURKAR}, Theorem 4.4, whose printed line loses factors of m and lambda squared",
        ("batch_norm", "printed_holds"),
        "printed; the proof gives the corrected form",
        caveat_of="theory_theorem_4_4",
    ),
    theory_theorem_c_1=_bound(
        "Theorem C.1 bounds the curvature along a unit's weights for any inputs of bounded norm.",
        f"{_SANTURKAR}, Theorem C.1, whose maximum over inputs is not where its proof puts it",
        ("batch_norm", "c_1_as_bound_holds"),
    ),
    theory_lemma_4_5=_equality(
        "lemma_4_5", "With batch norm the nearest optimum is closer by what Lemma 4.5 says.", f"{_SANTURKAR}, Lemma 4.5"
    ),
    theory_orthogonal=_equality(
        "orthogonal",
        "The gradient of a normalised unit's weights is orthogonal to them.",
        f"{_IOFFE}: scale invariance",
    ),
    theory_rescaled_weights_gradient=_equality(
        "rescaled_weights_gradient", "Weights that are a times as large have a gradient a times as small.", _IOFFE
    ),
    theory_smoother=Claim(
        "The condition under which Theorem 4.2 makes the landscape smoother holds at most units and steps.",
        f"{_SANTURKAR}, Theorem 4.2: a positive semidefinite Hessian, and a gradient that points with the activations",
        _in("batch_norm", share("smoother")).above(0.5),
    ),
)
