"""Quantities of the covariate shift of deep linear networks."""

from experiments._evidence.quantities import SHIFT, TRAIN_LOSS, shift, size
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Arms, all_runs, layer_names, layer_number


def of_linear_nets(arms: Arms) -> tuple[list[Measure], list[Quantity]]:
    """List the measures and curves of the deep linear networks that figures, tables and claims use."""
    layers = [layer_number(layer) for layer in layer_names(all_runs(arms), "shift")]
    shifts = [shift(layer, name) for layer in layers for name in SHIFT]
    cosines = [shift(layer, "cosine") for layer in layers]
    measures = [
        *(TRAIN_LOSS.at_end(steps) for steps in (1, 100)),
        *(quantity.median() for quantity in shifts),
        *(shift(layer).median(1000) for layer in layers),
        *(
            reduced
            for cosine in cosines
            for reduced in (cosine.median(1000), cosine.mean(1000), size(cosine).median(1000))
        ),
    ]
    return measures, [TRAIN_LOSS, *shifts]
