"""Claims about the landscape as the gradients and losses of successive batches show it."""

from experiments._evidence import quantities as q
from experiments._evidence.claim import Claim
from experiments._evidence.source import MAMELI_GRADIENTS, PARRY, ours
from experiments.landscape.measures import (
    COVERED,
    EARLY,
    STEP_SMOOTHNESS,
    STEP_SMOOTHNESS_OF_ALL,
    larger,
    rougher,
)

_GRADIENTS_DIFFER = (
    "here batch norm follows every layer, the learning rate is 0.1, inputs are standardised and there is no dropout"
)
_SUM = (
    "the sum of layer 5's gradients on successive batches, whose length Mameli's repository takes for gradient "
    "predictiveness,"
)
_LOSS = "the loss plus its absolute change since the last batch, which Mameli's repository calls the loss landscape,"
# Their cosine with batch norm is near 0, and |g - g'| / |g'| is 1.41 to 1.46 (presets cpu and evening).
_NOISE = (
    "the two gradients are of different mini-batches, whose noise decides, not smoothness: independent gradients of equal "
    "norms are 1.41 of these norms apart, whatever the landscape, and those with batch norm are nearly independent"
)
_NOISE_OF_ALL = "the two gradients are of different mini-batches, whose noise decides, not smoothness"
# For independent noise of the same size, the cosine is |mean gradient|² / (|mean gradient|² + noise²).
_AGREEMENT = (
    "the two gradients are of different mini-batches: how much they agree shows how large the mean gradient is beside the "
    "noise of batches, whatever the landscape"
)
_LATE, _LATER, _LATEST = "2026-11-22", "2026-11-29", "2026-11-30"

CLAIMS_OF_BATCHES = {
    "landscape_successive_sum": Claim(
        f"Over steps 80 to 3,500, {_SUM} is longer with batch norm than in the plain net.",
        MAMELI_GRADIENTS,
        larger(q.successive("step_sum", "layer_5").median(*EARLY)).above(1),
        "3.3 / 0.65 at step 1,000, 4.9 / 1.49 at 3,000, or 5.1 and 3.3 times",
        differs=_GRADIENTS_DIFFER,
        speaks="neither",
    ),
    "landscape_successive_sum_part": Claim(
        f"Over steps 80 to 1,500, {_SUM} is longer with batch norm than in the plain net.",
        MAMELI_GRADIENTS,
        larger(q.successive("step_sum", "layer_5").median(*COVERED)).above(1),
        "2.9 / 0.10 at step 500, 3.3 / 0.65 at 1,000, 3.9 / 0.69 at 1,500, or 29, 5.1 and 5.7 times",
        since=_LATER,
        differs=_GRADIENTS_DIFFER,
        speaks="neither",
    ),
    "landscape_successive_sum_early": Claim(
        "Batch norm lengthens the sum of layer 5's gradients on successive batches by a larger factor over steps 50 to 500 "
        "than over steps 1,000 to 1,500.",
        MAMELI_GRADIENTS.at("'clearly higher in the first stage'"),
        (
            larger(q.successive("step_sum", "layer_5").median(50, 500))
            / larger(q.successive("step_sum", "layer_5").median(1000, 1500))
        ).above(1),
        "36 times at step 250, 5.1 times at 1,000, or 7 times as large a factor",
        since=_LATER,
        differs=_GRADIENTS_DIFFER,
        speaks="neither",
    ),
    "landscape_predictiveness_early": Claim(
        "Batch norm reduces the change of the gradient along its own direction by a larger factor over steps 50 to 500 than "
        "over steps 1,000 to 1,500.",
        ours("what Mameli's repository says of early training, for the measure of Santurkar et al. 2018"),
        (rougher(q.GRADIENT_CHANGE.median(50, 500)) / rougher(q.GRADIENT_CHANGE.median(1000, 1500))).above(1),
        caveat_of="landscape_successive_sum_early",
        since=_LATER,
        speaks="neither",
    ),
    "landscape_successive_relative": Claim(
        "Over steps 80 to 3,500, the sum of layer 5's gradients on successive batches is shorter, relative to the sum of "
        "their norms, with batch norm than in the plain net.",
        ours("the measure of Mameli's repository, relative to the norms of the gradients"),
        larger(q.successive("relative_sum", "layer_5").median(*EARLY)).between(0, 1),
        caveat_of="landscape_successive_sum",
        remark=_AGREEMENT,
        speaks="neither",
    ),
    "landscape_successive_cosine": Claim(
        "Over steps 80 to 1,500, the cosine of layer 5's gradients on successive batches is larger with batch norm than in "
        "the plain net.",
        MAMELI_GRADIENTS.at("'more confident with the direction of the gradients'"),
        q.successive("step_cosine", "layer_5").median(*COVERED).minus("batch_norm", "plain").above(0),
        since=_LATER,
        remark=_AGREEMENT,
        differs=_GRADIENTS_DIFFER,
        speaks="neither",
    ),
    "landscape_successive_distance": Claim(
        "Over steps 80 to 3,500, layer 5's gradients on successive batches are further apart with batch norm than in the "
        "plain net.",
        ours("the distance of Santurkar et al. 2018, between the gradients of Mameli's repository"),
        larger(q.successive("step_distance", "layer_5").median(*EARLY)).above(1),
        caveat_of="landscape_successive_sum",
        remark=_NOISE,
        speaks="neither",
    ),
    "landscape_step_smoothness": Claim(
        "From one training step to the next, each on a mini-batch of its own, the gradient of layer 5 changes per unit "
        "distance of its own weights by the same amount with batch norm as in the plain net, to within 10 %, on average over "
        "the training.",
        PARRY,
        larger(STEP_SMOOTHNESS.mean()).between(0.9, 1.1),
        "61.9 / 63.0, or 0.98 times",
        caveat_of="landscape_smoothness",
        since=_LATER,
        remark=_NOISE,
        differs="here the weights of layer 5 only",
        speaks="neither",
    ),
    "landscape_step_smoothness_largest": Claim(
        "From one training step to the next, each on a mini-batch of its own, the largest change of layer 5's gradient per "
        "unit distance of its own weights is smaller with batch norm than in the plain net.",
        PARRY,
        larger(STEP_SMOOTHNESS.largest()).between(0, 1),
        "155 / 322, or 0.48 times",
        since=_LATER,
        remark=_NOISE,
        differs="here the weights of layer 5 only",
        speaks="neither",
    ),
    "landscape_step_smoothness_all": Claim(
        "From one training step to the next, each on a mini-batch of its own, the gradient of all parameters changes per unit "
        "distance by the same amount with batch norm as in the plain net, to within 10 %, on average over the training.",
        PARRY,
        larger(STEP_SMOOTHNESS_OF_ALL.mean()).between(0.9, 1.1),
        "61.9 / 63.0, or 0.98 times",
        caveat_of="landscape_smoothness",
        since=_LATEST,
        remark=_NOISE_OF_ALL,
        speaks="neither",
    ),
    "landscape_step_smoothness_largest_all": Claim(
        "From one training step to the next, each on a mini-batch of its own, the largest change of the gradient of all "
        "parameters per unit distance is smaller with batch norm than in the plain net.",
        PARRY,
        larger(STEP_SMOOTHNESS_OF_ALL.largest()).between(0, 1),
        "155 / 322, or 0.48 times",
        since=_LATEST,
        remark=_NOISE_OF_ALL,
        speaks="neither",
    ),
    "landscape_loss_change": Claim(
        f"Over steps 80 to 3,500, {_LOSS} is lower with batch norm than in the plain net.",
        MAMELI_GRADIENTS,
        larger(q.LOSS_AND_CHANGE.median(*EARLY)).between(0, 1),
        "1.34 / 2.25 at step 1,000, 0.87 / 1.74 at 3,000, or 0.60 and 0.50 times",
        since=_LATE,
        differs=_GRADIENTS_DIFFER,
        speaks="neither",
    ),
    "landscape_loss_change_part": Claim(
        f"Over steps 80 to 1,500, {_LOSS} is lower with batch norm than in the plain net.",
        MAMELI_GRADIENTS,
        larger(q.LOSS_AND_CHANGE.median(*COVERED)).between(0, 1),
        "1.61 / 2.31 at step 500, 1.34 / 2.25 at 1,000, 1.23 / 2.11 at 1,500, or 0.70, 0.60 and 0.58 times",
        since=_LATER,
        differs=_GRADIENTS_DIFFER,
        speaks="neither",
    ),
    "landscape_loss_change_relative": Claim(
        "Over steps 80 to 3,500, the loss changes more from batch to batch, relative to its size, with batch norm than in "
        "the plain net.",
        MAMELI_GRADIENTS.at("variance of the losses"),
        larger(q.RELATIVE_CHANGE.median(*EARLY)).above(1),
        "variance of the losses 0.160 / 0.080, or 2.0 times",
        caveat_of="landscape_loss_change",
        since=_LATE,
        remark="the noise of batches is divided by a loss that is lower with batch norm; the change itself, not divided, is "
        "smaller with batch norm, 0.82 to 0.86 times at preset evening",
        differs=f"{_GRADIENTS_DIFFER}, and the median relative change from batch to batch replaces the variance of the losses, "
        "which also measures how far the loss falls",
        speaks="neither",
    ),
}
