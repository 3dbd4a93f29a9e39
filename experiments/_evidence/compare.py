"""Comparisons of two nets, measurement by measurement."""

import math

from experiments._evidence.format import PERCENT
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Data, num_steps, pairs
from experiments._evidence.statistic import BySeed, NotInDataError, Statistic
from experiments._evidence.value import Missing
from experiments._nets import NETS, UNNAMED, Setting


def share_above(
    quantity: Quantity, net: str, other: str, at: Setting = UNNAMED, first: float = 0, last: float = math.inf
) -> Statistic:
    """Return the share of measurements at which a quantity is larger in one net than in another, seed by seed.

    Args:
        quantity: the quantity, recorded for both nets.
        net: the net in which it is larger.
        other: the net that it is compared with.
        at: the setting of both nets.
        first: step of the first measurement that counts.
        last: step of the last one; shorter runs have no value, and infinity is the end.
    """
    arms = at.arm(net), at.arm(other)

    def of(data: Data) -> BySeed:
        for arm in arms:
            if arm not in data.get("arms", {}):
                raise NotInDataError(f"these data have no runs of {arm.replace('_', ' ')}")
        found = {}
        for run, partner in pairs(*(data["arms"][arm] for arm in arms)):
            own, others = (dict(zip(*quantity.curve(each), strict=True)) for each in (run, partner))
            gaps = [own[step] - others[step] for step in own if step in others and first <= step <= last]
            known = [gap for gap in gaps if math.isfinite(gap)]
            ran = min(num_steps(run), num_steps(partner))
            missing = f"not recorded in these steps: {quantity.words}"
            if ran < last < math.inf:
                known, missing = [], f"needs {last:,.0f} steps, ran {ran:,}"
            found[run["seed"]] = sum(gap > 0 for gap in known) / len(known) if known else Missing(missing)
        return found

    when = f"from step {first:,.0f} on" if last == math.inf else f"over steps {first:,.0f} to {last:,.0f}"
    what = f"share of the measurements {when if first or last < math.inf else ''}".rstrip()
    who = at.name(f"{NETS[net].short} above {NETS[other].short}")
    counted = tuple(f"arms/{arm}" for arm in arms)
    return Statistic(of, f"{what} at which {quantity.words} is larger", who, counted, PERCENT, last)
