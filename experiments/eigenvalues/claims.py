"""Claims about the largest eigenvalues of the Hessian, and about the gradient's share in their space."""

from experiments._evidence.claim import Claim, claims
from experiments._evidence.quantity import Quantity
from experiments._evidence.source import SANTURKAR, Source, ours
from experiments._evidence.statistic import Statistic
from experiments.eigenvalues.quantities import FIRST, isolation, largest, share

_GHORBANI = Source(
    "Ghorbani et al. 2019", "paper", "arxiv.org/abs/1901.10159", "Hessian of the loss of the whole training set"
)
_ABSTRACT = _GHORBANI.at("abstract")
_ONE_BATCH = "here the loss is of the first training images in one batch, normalised by its own statistics"
_ISOLATED = "the source looks at the whole spectrum; we compare with the tenth eigenvalue, since there are ten classes"
_SAME_WEIGHTS = "at the same weights; running statistics do not change when the weights move"
_AFTER = "in the median over the training after step 0"
_KEPT = "a control: whether it matters that the batch's statistics move with the weights"


def _with_over_plain(quantity: Quantity) -> Statistic:
    """Divide the median after step 0 with batch norm by the plain net's."""
    return quantity.median(FIRST).over("batch_norm", "plain")


def _kept(frozen: Quantity, usual: Quantity) -> Statistic:
    """Divide a quantity with frozen statistics by the same with batch statistics, for the net with batch norm."""
    return (frozen.median(FIRST) / usual.median(FIRST)).each("batch_norm")


CLAIMS = claims(
    "smoothness",
    "2026-11-29",
    "for, else against",
    eigenvalues_isolated=Claim(
        "The largest eigenvalue of the loss's Hessian is a smaller multiple of the tenth with batch norm than in the plain "
        f"net, {_AFTER}.",
        _ABSTRACT,
        _with_over_plain(isolation()).below(1),
        "large isolated eigenvalues without batch norm, almost absent with it",
        remark=f"{_ISOLATED}; any difference counts",
        differs=_ONE_BATCH,
    ),
    eigenvalues_gradient=Claim(
        "The share of the gradient's squared norm along the eigenvectors of the Hessian's ten largest eigenvalues is smaller "
        f"with batch norm than in the plain net, {_AFTER}.",
        _ABSTRACT,
        _with_over_plain(share()).below(1),
        "the gradient is concentrated in the space of isolated eigenvalues without batch norm, hardly with it",
        remark="ten, since there are ten classes; any difference counts",
        differs=_ONE_BATCH,
    ),
    eigenvalues_gradient_absent=Claim(
        "With batch norm, the share of the gradient's squared norm along the eigenvectors of the Hessian's ten largest "
        f"eigenvalues is less than half that of the plain net, {_AFTER}.",
        _ABSTRACT,
        _with_over_plain(share()).below(0.5),
        "almost absent",
        repeats="eigenvalues_gradient",
        remark="the source gives no number in its abstract; a half is ours",
        differs=_ONE_BATCH,
        speaks="for",
    ),
    eigenvalues_concentrated=Claim(
        "In the plain net, more than half of the gradient's squared norm lies along the eigenvectors of the Hessian's ten "
        f"largest eigenvalues, {_AFTER}.",
        _ABSTRACT,
        share().median(FIRST).each("plain").above(0.5),
        "surprisingly concentrated",
        remark="the source gives no number in its abstract; a half is ours",
        differs=_ONE_BATCH,
        hypothesis="none",
    ),
    eigenvalues_rapid=Claim(
        f"In the plain net, the largest eigenvalue of the Hessian is a larger multiple of the tenth {_AFTER} than at step 0.",
        _ABSTRACT,
        (isolation().median(FIRST) / isolation().median(last=0)).each("plain").above(1),
        "they appear rapidly",
        remark=f"{_ISOLATED}; any difference counts",
        differs=_ONE_BATCH,
        hypothesis="none",
    ),
    eigenvalues_largest=Claim(
        f"The largest eigenvalue of the loss's Hessian is smaller with batch norm than in the plain net, {_AFTER}.",
        "the smoothness of Santurkar et al. 2018, Sec. 3.2, in the direction in which the loss is curved most",
        _with_over_plain(largest()).below(1),
    ),
    eigenvalues_start=Claim(
        "At initialisation, the largest eigenvalue of the loss's Hessian is larger with batch norm than in the plain net.",
        ours(
            f"the curvature behind {SANTURKAR.title}, Fig. 4b at step 0, where the gradient changes more with batch norm"
        ),
        largest().median(last=0).over("batch_norm", "plain").above(1),
        caveat_of="eigenvalues_largest",
        remark="an eigenvalue is known to within 5 %, the residual at which the solver stops",
        speaks="against, else for",
    ),
    eigenvalues_kept=Claim(
        "With batch norm, the largest eigenvalue of the Hessian is a larger multiple of the tenth with fixed running "
        f"statistics than with the batch's own statistics, {_AFTER}.",
        _KEPT,
        _kept(isolation(frozen=True), isolation()).above(1),
        caveat_of="eigenvalues_isolated",
        remark=_SAME_WEIGHTS,
        speaks="neither",
    ),
    eigenvalues_kept_largest=Claim(
        "With batch norm, the largest eigenvalue of the Hessian is larger with fixed running statistics than with the batch's "
        f"own statistics, {_AFTER}.",
        _KEPT,
        _kept(largest(frozen=True), largest()).above(1),
        caveat_of="eigenvalues_largest",
        remark=_SAME_WEIGHTS,
        speaks="neither",
    ),
)
