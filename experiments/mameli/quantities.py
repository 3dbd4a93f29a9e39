"""Quantities of Mameli's net: his definitions, and those that they are named after."""

import math

import numpy as np

from experiments._evidence import quantities as q
from experiments._evidence.format import STEPS
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Run, num_steps
from experiments._evidence.value import AtLeast, Missing
from experiments.mameli import LAYER

SHIFT = q.shift(LAYER)
RELATIVE_SHIFT = q.shift(LAYER, "relative_difference")
# His second net has a random classifier, so that its gradients turn by more than the step.
TURN = q.size(q.second_net("cosine")).median() / q.size(q.shift(LAYER, "cosine")).median()


def successive(name: str) -> Quantity:
    """Return a quantity of layer 5's gradients on successive batches."""
    return q.successive(name, f"layer_{LAYER}")


def _steps_of_plateau(run: Run) -> float:
    """Count the steps until the loss first differs by more than 0.02 from that of guessing, ln 10."""
    steps, losses = q.TRAIN_LOSS.curve(run)
    if not losses.size:
        return Missing(f"not recorded: {q.TRAIN_LOSS.words}")
    left = steps[~(np.abs(losses - math.log(10)) <= 0.02)]
    if left.size:
        return float(left[0] + run.get("train", {}).get("window", 1))
    diverged_at = run["diverged_at"]
    return AtLeast(num_steps(run)) if diverged_at is None else float(diverged_at)


PLATEAU = Measure(_steps_of_plateau, "steps until the training loss first is 0.02 away from ln 10", STEPS)
