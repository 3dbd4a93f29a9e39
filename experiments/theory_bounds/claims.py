"""Claims of the theorems, each checked on the units of real networks."""

import math

from experiments._claims.claim import PERCENT, Claim, Format
from experiments._claims.measures import DataMeasure, each
from experiments._numbers.theory import ACCEPTED, largest_error, share

_INSERTED, _TRAINED = "plain", "batch_norm"
_SANTURKAR = "Santurkar et al. 2018"
_ERROR = Format(".1e")
_ALWAYS = (0.9999, math.inf)


def _equality(name: str, statement: str, source: str, arm: str = _TRAINED, accepted: float = ACCEPTED) -> Claim:
    """Make the claim that two sides are equal."""
    return Claim(
        name=f"theory_{name}",
        statement=statement,
        source=source,
        statistic=f"largest relative error over units, layers and steps, float64, epsilon 0; below {accepted:g}",
        published="proved",
        measure=each(arm, largest_error(name)),
        supported=(-math.inf, accepted),
        format=_ERROR,
        arms=(f"arms/{arm}",),
    )


def _bound(
    name: str,
    statement: str,
    source: str,
    measure: DataMeasure,
    *,
    arm: str = _INSERTED,
    supported: tuple[float, float] = _ALWAYS,
    published: str = "proved",
    caveat_of: str | None = None,
) -> Claim:
    """Make the claim that a statement holds at all units and steps, or at a share of them."""
    return Claim(
        name=f"theory_{name}",
        statement=statement,
        source=source,
        statistic="share of units and steps at which it holds, of those with a gradient",
        published=published,
        measure=measure,
        supported=supported,
        format=PERCENT,
        arms=(f"arms/{arm}",),
        caveat_of=caveat_of,
    )


CLAIMS = (
    _equality(
        "theorem_4_1",
        "Batch norm takes two components off a unit's gradient and scales the rest; the bound of Theorem 4.1 is an equality.",
        f"{_SANTURKAR}, Theorem 4.1, which states <=",
    ),
    _bound(
        "epsilon",
        "With an epsilon of 1 in the variance, the bound of Theorem 4.1 still holds.",
        f"{_SANTURKAR}, Theorem 4.1",
        each(_INSERTED, share("epsilon 1")),
    ),
    _equality(
        "theorem_4_2",
        "The first line of Theorem 4.2, on the curvature along the gradient, is an equality.",
        f"{_SANTURKAR}, Theorem 4.2, which states <=",
    ),
    _bound(
        "second_line_premise",
        "Where batch norm is inserted and the Hessian preserves relative norms, the second line of Theorem 4.2 holds.",
        f"{_SANTURKAR}, Theorem 4.2, under its premise: a Hessian that is a multiple of the identity",
        each(_INSERTED, share("isotropic_holds")),
    ),
    _bound(
        "second_line_trained",
        "It does so in a net that is trained with batch norm, whose scales may make a unit's gradient longer.",
        "the same premise, with the scales that training chose",
        each(_TRAINED, share("isotropic_holds")),
        arm=_TRAINED,
        published="stated",
        caveat_of="theory_second_line_premise",
    ),
    _bound(
        "second_line",
        "In such a net it holds with the Hessian that there is, too.",
        "the same inequality, where the premise may fail",
        each(_TRAINED, share("relaxed_holds")),
        arm=_TRAINED,
        published="-",
        caveat_of="theory_second_line_premise",
    ),
    _equality(
        "preserved_outputs",
        "A batch norm can be inserted into a trained net without changing what it computes.",
        f"{_SANTURKAR}, Observation 4.3",
        arm=_INSERTED,
        accepted=1e-6,
    ),
    _bound(
        "gradient_not_larger",
        "Inserted so, batch norm makes no unit's gradient longer.",
        f"{_SANTURKAR}, Observation 4.3 with Theorem 4.1",
        each(_INSERTED, share("gradient_not_larger")),
    ),
    _bound(
        "gradient_not_larger_trained",
        "In a net that is trained with batch norm, too, no unit's gradient is longer than before its normaliser.",
        "the same comparison, with the scales that training chose",
        each(_TRAINED, share("gradient_not_larger")),
        arm=_TRAINED,
        published="-",
        caveat_of="theory_gradient_not_larger",
    ),
    _bound(
        "theorem_4_4",
        "The bound of Theorem 4.4 on the gradient of a unit's weights holds in its corrected form.",
        f"{_SANTURKAR}, Theorem 4.4, as its proof gives it",
        each(_TRAINED, share("corrected_holds")),
        arm=_TRAINED,
    ),
    _bound(
        "theorem_4_4_printed",
        "The bound of Theorem 4.4 holds as printed.",
        f"{_SANTURKAR}, Theorem 4.4, whose printed line loses factors of m and lambda squared",
        each(_TRAINED, share("printed_holds")),
        arm=_TRAINED,
        published="printed; the proof gives the corrected form",
        caveat_of="theory_theorem_4_4",
    ),
    _bound(
        "theorem_c_1",
        "Theorem C.1 bounds the curvature along a unit's weights for any inputs of bounded norm.",
        f"{_SANTURKAR}, Theorem C.1, whose maximum over inputs is not where its proof puts it",
        each(_TRAINED, share("c_1_as_bound_holds")),
        arm=_TRAINED,
    ),
    _equality(
        "lemma_4_5",
        "With batch norm the nearest optimum is closer by what Lemma 4.5 says.",
        f"{_SANTURKAR}, Lemma 4.5",
    ),
    _equality(
        "orthogonal",
        "The gradient of a normalised unit's weights is orthogonal to them.",
        "Ioffe & Szegedy 2015, Sec. 3.3: scale invariance",
    ),
    _equality(
        "rescaled_weights_gradient",
        "Weights that are a times as large have a gradient a times as small.",
        "Ioffe & Szegedy 2015, Sec. 3.3",
    ),
    _bound(
        "smoother",
        "The condition under which Theorem 4.2 makes the landscape smoother holds at most units and steps.",
        f"{_SANTURKAR}, Theorem 4.2: a positive semidefinite Hessian, and a gradient that points with the activations",
        each(_TRAINED, share("smoother")),
        arm=_TRAINED,
        supported=(0.5, math.inf),
        published="-",
    ),
)
