"""Claims about what goes with a small gap between training and test, where nets have the same training loss."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from experiments._evidence.claim import Claim, claims
from experiments._evidence.format import POINTS, TIMES
from experiments._evidence.source import BJORCK, DIMITRIOU, HUBER, IOFFE, SANTURKAR, Source, ours
from experiments._evidence.statistic import Statistic
from experiments._evidence.value import combine, divide, smallest_of, subtract
from experiments._nets import Setting, learning_rate
from experiments.generalisation.quantities import (
    ASCENT,
    EIGENVALUE,
    GAP,
    LOSS_GAP,
    MAIN,
    POPULATION,
    TRACE,
    Name,
    at,
    of_ghosts,
    ranked,
)

_KESKAR = Source("Keskar et al. 2017", "paper", "arxiv.org/abs/1609.04836", "nets that differ in their batch size")
_KAUR = Source("Kaur et al. 2023", "paper", "arxiv.org/abs/2206.10654")
_KWON = Source("Kwon et al. 2021", "paper", "arxiv.org/abs/2102.11600")
_ANDRIUSHCHENKO = Source(
    "Andriushchenko et al. 2023", "paper", "arxiv.org/abs/2302.07011", "most nets are transformers"
)
_DINH = Source("Dinh et al. 2017", "paper", "arxiv.org/abs/1703.04933", "theory")

_NETS = (
    "Over nets without batch norm, at learning rates 0.03 and 0.1, with it, at 0.03 to 1, and with it over ghost batches of "
    "several sizes,"
)
_NORMED = "Over nets with batch norm over the whole batch, at four learning rates,"
# Losses at these measurements differ: they are taken at intervals, and the loss may have fallen further.
_WHERE = "at the first measurement with a training loss of at most 0.1"
_HALF = "at the first measurement with a training loss of at most 0.5"
_GAP = "a smaller gap between test and training error"
_STRONG = "a rank correlation above 0.5 counts as going together"
_WEAK = "a rank correlation below 0.5 counts as none"
_NONE = "any difference counts"
_SLOW, _OWN, _LARGE = learning_rate(0.03), learning_rate(0.1), learning_rate(0.3)


class _Flat(NamedTuple):
    """A kind of flatness: in words, by name, the source that links it to generalisation, its nets, and one that denies it."""

    less: str
    name: Name
    source: Source
    nets: str
    against: Source | None = None


_ASKS = "the source only asks"
_RESNET = "the source trains a ResNet of 110 layers on CIFAR-10 to the end"
_INCEPTION = "in the source Inception on ImageNet, trained to the end"
_KINDS = {
    "eigenvalue": _Flat(
        "a smaller largest eigenvalue of the Hessian",
        "eigenvalue",
        _KESKAR.at("abstract"),
        "the source compares nets that differ in their batch size",
        _KAUR,
    ),
    "trace": _Flat("a smaller trace of the Hessian", "trace", HUBER.at("open questions"), _ASKS),
    "ascent": _Flat(
        "a smaller rise of the loss when each layer's weights move along the gradient by the same share of their norm",
        "ascent",
        _KWON.at("abstract"),
        "the source compares other nets",
        _ANDRIUSHCHENKO,
    ),
    "random": _Flat(
        "a smaller rise of the loss when each layer's weights move in random directions by the same share of their norm",
        "random",
        HUBER.at("open questions"),
        _ASKS,
    ),
}


_BY_RATE = "a larger learning rate goes with both, so that this counts for neither side"
# Of one gap, and of the same nets, one kind of flatness counts.
_FIRST = "eigenvalue"


def _flatter() -> dict[str, Claim]:
    """Claim for each kind of flatness that it goes with a small gap, and the opposite where a source says so."""
    made = {}
    for name, kind in _KINDS.items():
        criterion = ranked(kind.name, GAP, MAIN)
        made[f"flat_{name}"] = Claim(
            f"{_NETS} {kind.less} goes with {_GAP}, {_WHERE}.",
            kind.source,
            criterion.above(0.5),
            remark=f"{kind.nets}; {_STRONG}; {_BY_RATE}",
            repeats=None if name == _FIRST else f"flat_{_FIRST}",
            speaks="neither",
        )
        if kind.against:
            made[f"flat_{name}_none"] = Claim(
                f"{_NETS} {kind.less} does not go with {_GAP}, {_WHERE}.",
                kind.against.at("abstract"),
                criterion.below(0.5),
                remark=f"{_WEAK}; {_BY_RATE}",
                caveat_of=f"flat_{name}",
                speaks="neither",
            )
        made[f"flat_{name}_half"] = Claim(
            f"{_NETS} {kind.less} goes with {_GAP}, {_HALF}.",
            ours("a control: whether the loss at which nets are compared matters"),
            ranked(kind.name, GAP, 0.5).above(0.5),
            remark=_STRONG,
            speaks="neither",
        )
    return made


def _normed(name: str) -> Claim:
    """Claim that a correlation does not hold over the nets with batch norm, without those in ghosts."""
    kind = _KINDS[name]
    return Claim(
        f"{_NORMED} {kind.less} does not go with {_GAP}, {_WHERE}.",
        ours("a control: whether the nets without batch norm, and those in ghosts, alone make the correlation"),
        ranked(kind.name, GAP, MAIN, "batch_norm").below(0.5),
        remark=_WEAK,
        caveat_of=f"flat_{name}",
        speaks="against",
    )


def _gap_of(*settings: tuple[str, Setting]) -> Statistic:
    """Subtract the second net's gap from the first net's, each at a learning rate."""
    first, second = (at(GAP, MAIN).each(net, setting) for net, setting in settings)
    return first - second


def _lead(ghosts: Sequence[float], whole: float) -> float:
    """Return the largest value with ghost batches minus the value with the whole batch."""
    return combine(lambda *values: subtract(max(values[:-1]), values[-1]), *ghosts, whole)


def _least_ratio(ghosts: Sequence[float], whole: float) -> float:
    """Return the smallest ratio of a value with ghost batches to the value with the whole batch."""
    return combine(smallest_of, *(divide(value, whole) for value in ghosts))


_SAME = {at_rate: _gap_of(("batch_norm", at_rate), ("plain", at_rate)) for at_rate in (_OWN, _SLOW)}
_FLATTER = {quantity: at(quantity, MAIN).over("batch_norm", "plain", _OWN) for quantity in (EIGENVALUE, TRACE, ASCENT)}
_NO_BETTER = "a gap that is smaller by less than a point counts as no smaller"
_OPPOSED = "a rank correlation below -0.5 counts as going together"
_AT_END = "the source compares nets at the end of training"

CLAIMS = claims(
    "smoothness",
    "2026-11-29",
    **_flatter(),
    flat_eigenvalue_normed=_normed("eigenvalue"),
    flat_ascent_normed=_normed("ascent"),
    flat_eigenvalue_loss=Claim(
        f"{_NETS} a smaller largest eigenvalue of the Hessian goes with a smaller gap between test and training loss, "
        f"{_WHERE}.",
        ours("a control: whether the gap in losses, which counts how sure a net is, says the same as that in errors"),
        ranked("eigenvalue", LOSS_GAP, MAIN).above(0.5),
        remark=_STRONG,
        speaks="neither",
    ),
    flat_relative=Claim(
        f"{_NETS} a smaller rise of the loss when each layer's weights move along the gradient by the same share of their "
        f"norm goes more closely with {_GAP} than does a smaller largest eigenvalue of the Hessian, {_WHERE}.",
        _DINH.at("abstract"),
        (ranked("ascent", GAP, MAIN) - ranked("eigenvalue", GAP, MAIN)).above(0),
        remark="the source says only that rescaling weights changes eigenvalues and not the function; the larger of the two "
        "rank correlations counts as the closer",
        hypothesis="none",
    ),
    flat_norm=Claim(
        f"At learning rate 0.1, {_WHERE}, the largest eigenvalue of the Hessian is smaller with batch norm than without.",
        SANTURKAR.at("Sec. 3"),
        _FLATTER[EIGENVALUE].below(1),
        remark=f"the source shows smoothness along the gradient; {_NONE}",
        speaks="for, else against",
    ),
    flat_norm_trace=Claim(
        f"At learning rate 0.1, {_WHERE}, the trace of the Hessian is smaller with batch norm than without.",
        ours("smoothness of Santurkar et al. 2018, Sec. 3, by the trace"),
        _FLATTER[TRACE].below(1),
        remark=_NONE,
        since="2026-11-30",
        speaks="for, else against",
    ),
    flat_norm_not=Claim(
        f"At learning rate 0.1, {_WHERE}, the largest eigenvalue of the Hessian can be larger with batch norm than without.",
        _KAUR.at("abstract"),
        _FLATTER[EIGENVALUE].above(1),
        "batch norm does not consistently make it smaller",
        exists=True,
        caveat_of="flat_norm",
        speaks="against",
    ),
    flat_norm_relative=Claim(
        f"At learning rate 0.1, {_WHERE}, the loss rises less with batch norm than without when each layer's weights move "
        "along the gradient by the same share of their norm.",
        ours("smoothness of Santurkar et al. 2018, Sec. 3, by a measure that rescaling weights does not change"),
        _FLATTER[ASCENT].below(1),
        remark=_NONE,
        speaks="for, else against",
    ),
    flat_same_rate=Claim(
        f"At learning rate 0.1, {_WHERE}, the gap between test and training error is smaller with batch norm than without.",
        replace(IOFFE.at("Sec. 3.4"), setup=""),
        _SAME[_OWN].below(0),
        remark=f"the source compares no gaps; {_NONE}",
        differs=_INCEPTION,
        hypothesis="regularisation",
        speaks="for, else against",
    ),
    flat_same_rate_none=Claim(
        f"At learning rate 0.1, {_WHERE}, the gap between test and training error is not smaller by a point or more with "
        "batch norm than without.",
        BJORCK,
        _SAME[_OWN].above(-0.01),
        remark=f"the source compares test accuracies at the plain net's learning rate; {_NO_BETTER}",
        caveat_of="flat_same_rate",
        differs=_RESNET,
        hypothesis="learning rates",
        speaks="for",
    ),
    flat_slow_rate=Claim(
        f"At learning rate 0.03, {_WHERE}, the gap between test and training error is smaller with batch norm than without.",
        replace(IOFFE.at("Sec. 3.4"), setup=""),
        _SAME[_SLOW].below(0),
        remark=f"the source compares no gaps; {_NONE}",
        differs=_INCEPTION,
        hypothesis="regularisation",
        speaks="for, else against",
    ),
    flat_slow_rate_none=Claim(
        f"At learning rate 0.03, {_WHERE}, the gap between test and training error is not smaller by a point or more with "
        "batch norm than without.",
        BJORCK,
        _SAME[_SLOW].above(-0.01),
        remark=f"the source compares test accuracies at the plain net's learning rate; {_NO_BETTER}",
        caveat_of="flat_slow_rate",
        differs=_RESNET,
        hypothesis="learning rates",
        speaks="neither",
    ),
    flat_large_rate=Claim(
        f"With batch norm, {_WHERE}, the gap between test and training error is smaller at learning rate 0.3 than at 0.03.",
        BJORCK.at("abstract"),
        replace(
            _gap_of(("batch_norm", _LARGE), ("batch_norm", _SLOW)), who="BN, learning rate 0.3 - learning rate 0.03"
        ).below(0),
        remark=f"{_NONE}; {_AT_END}",
        differs=_RESNET,
        hypothesis="learning rates",
        speaks="for, else against",
    ),
    flat_rates=Claim(
        f"{_NORMED} a larger learning rate goes with {_GAP}, {_WHERE}.",
        BJORCK.at("abstract"),
        ranked("rate", GAP, MAIN, "batch_norm").below(-0.5),
        remark=f"{_OPPOSED}; {_AT_END}",
        repeats="flat_large_rate",
        differs=_RESNET,
        hypothesis="learning rates",
        speaks="for",
    ),
    flat_rates_eigenvalue=Claim(
        f"{_NORMED} a larger learning rate goes with a smaller largest eigenvalue of the Hessian, {_WHERE}.",
        _KAUR.at("abstract"),
        ranked("rate", EIGENVALUE, MAIN, "batch_norm").below(-0.5),
        "larger learning rates make it smaller",
        remark=_OPPOSED,
        hypothesis="none",
    ),
    flat_ghosts=Claim(
        f"At learning rate 0.1, {_WHERE}, the largest eigenvalue of the Hessian is larger with batch norm over ghost batches "
        "of each size than over the whole batch.",
        DIMITRIOU.at("abstract"),
        replace(
            of_ghosts(EIGENVALUE, MAIN, _least_ratio, "BN, ghosts / whole batch, the smallest of all sizes"),
            format=TIMES,
        ).above(1),
        "a less smooth landscape",
        remark=_NONE,
        speaks="against",
    ),
    flat_ghosts_generalise=Claim(
        f"At learning rate 0.1, {_WHERE}, the test accuracy with population statistics is at most half a point lower with "
        "batch norm over ghost batches of the best size than over the whole batch.",
        DIMITRIOU.at("abstract"),
        replace(of_ghosts(POPULATION, MAIN, _lead, "BN, best ghosts - whole batch"), format=POINTS).above(-0.005),
        "at least as good",
        remark="the size is the best one on the test images that are also counted, so that this counts for neither side",
        hypothesis="regularisation",
        speaks="neither",
    ),
)
