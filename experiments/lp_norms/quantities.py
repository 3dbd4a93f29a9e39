"""Quantities of the deep linear networks with lp norms that figures, tables and claims use."""

from dataclasses import replace

from experiments._evidence.format import Format, listing, plural
from experiments._evidence.quantities import SMOOTHNESS, TRAIN_LOSS
from experiments._evidence.run import Arms
from experiments._nets import NETS

FINAL_LOSS = replace(TRAIN_LOSS, format=Format("z,.0f")).at_end(100)
CURVES = (TRAIN_LOSS, SMOOTHNESS)
MEASURES = (FINAL_LOSS, SMOOTHNESS.median())


def draws_of(deep: Arms) -> str:
    """Write the number of draws, and which nets have fewer."""
    most = max(map(len, deep.values()))
    fewer = {net: len(runs) for net, runs in deep.items() if len(runs) < most}
    if not fewer:
        return plural(most, "draw")
    counts = ", ".join(map(str, sorted({*fewer.values()})))
    return f"{plural(most, 'draw')} ({counts} with {listing(NETS[net].short for net in fewer)})"
