"""Quantities of the deep linear networks with lp norms that figures, tables and claims use."""

from dataclasses import replace

from experiments._evidence.format import Format
from experiments._evidence.quantities import SMOOTHNESS, TRAIN_LOSS

FINAL_LOSS = replace(TRAIN_LOSS, format=Format("z,.0f")).at_end(100)
CURVES = (TRAIN_LOSS, SMOOTHNESS)
MEASURES = (FINAL_LOSS, SMOOTHNESS.median())
