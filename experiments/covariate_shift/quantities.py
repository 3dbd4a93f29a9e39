"""A layer's covariate shift, by Definition 2.1 of Santurkar et al. 2018 and as Mameli's repository measures it.

G and G' are as in `experiments._evidence.quantities.SHIFT`.
"""

from dataclasses import replace

from experiments._evidence.quantities import SHIFT, SHIFT_FIELDS, TRAIN_LOSS, shift
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Arms, all_runs, layer_names, layer_number


def second_net(name: str = "difference", which: str = "step") -> Quantity:
    """Compare with G' of a second net, whose classifier is random, after the step or, as a control, without it: zero_step.

    It is measured of the first layer of `shift_layers`, 5 in all presets.
    """
    words = f"{SHIFT[name]}, layer 5, G' of a second net{' without the step' * (which == 'zero_step')}"
    return Quantity("dummy_shift", f"{which}_{name}", words, **SHIFT_FIELDS.get(name, {}))


# How much of it is there before any layer has moved.
FLOOR = second_net(which="zero_step").median() / second_net().median()


def size(cosine: Quantity) -> Quantity:
    """Return the absolute value of a cosine."""
    return replace(cosine, value=lambda record: abs(cosine.values(record)), words=f"|{cosine.words}|")


def of_linear_nets(arms: Arms) -> tuple[list[Measure], list[Quantity]]:
    """List what figures, tables and claims read of the deep linear networks."""
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
