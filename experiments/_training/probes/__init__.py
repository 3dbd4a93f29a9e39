"""Measurements during training, none of which changes it.

landscape       loss and gradients along minus the gradient, and along a random direction
gradients       how the gradient turns from one step to the next
sharpness       the curvature of mini-batches along their own gradients
shift           internal covariate shift, by definition and as Mameli's repository measures it
dependence      how much the steps of layers depend on each other, and what moves moments of units
eigenvalues     the largest eigenvalues of the Hessian, and the gradient's share in their space
horizon         the run's own next steps, against the current gradient
plane           the loss on the plane of the current gradient and the weights some steps ahead
drift           the distributions of activations
evaluation      accuracy and activations by statistics, on images unlike the training images
generalisation  loss and accuracy on training and test images, by the statistics that normalise them
flatness        curvature and sharpness of the training loss at certain losses, and the gap to the test there
recurrent       gradients with respect to the hidden states of an LSTM
percentiles     percentiles of the last hidden layer, on the same test images throughout
zeros           units that are zero
scales          scales of the normalisers, and the standard deviations that they multiply
probe           the type of probes, and their shared functions
"""

from typing import Any

from experiments._training.probes import (
    dependence,
    drift,
    eigenvalues,
    evaluation,
    flatness,
    generalisation,
    gradients,
    horizon,
    landscape,
    percentiles,
    plane,
    recurrent,
    scales,
    sharpness,
    shift,
    zeros,
)
from experiments._training.probes.probe import Probe as Probe

# Each is made from (settings, config, trainer, loss_scale).
PROBES = {
    "landscape": landscape.make_scan,
    "random_direction": landscape.make_random_scan,
    "successive_gradients": gradients.make_comparison,
    "batch_sharpness": sharpness.make_sharpness,
    "shift": shift.make_shift,
    "dummy_shift": shift.make_dummy_shift,
    "drift": drift.make_drift,
    "drift_before_norm": drift.make_drift,
    "drift_after_activation": drift.make_drift,
    "hidden_gradients": recurrent.make_hidden_gradients,
    "generalisation": generalisation.make_generalisation,
    "percentiles": percentiles.make_percentiles,
    "scales": scales.make_scales,
    "zero_units": zeros.make_zeros,
    "layer_dependence": dependence.make_dependence,
    "moment_control": dependence.make_control,
    "horizon": horizon.make_horizon,
    "plane": plane.make_plane,
    "eigenvalues": eigenvalues.make_eigenvalues,
    "flatness": flatness.make_flatness,
}
# Each also takes a function that loads the images of a configuration.
LOADING: dict[str, Any] = {"evaluation": evaluation.make_evaluation}
