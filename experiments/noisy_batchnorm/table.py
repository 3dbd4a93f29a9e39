"""The tables and the findings of batch norm with noise."""

from typing import Any

from experiments._evidence.drift import layer_titles, subject, typical
from experiments._evidence.quantities import TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.run import all_runs, layer_names, layer_number
from experiments._evidence.table import accuracies, by_net, divergences, seeds, written
from experiments._evidence.verdict import decided
from experiments._nets import NETS
from experiments.noisy_batchnorm import by_strength
from experiments.noisy_batchnorm.claims import CLAIMS


def summarise(data: dict[str, Any]) -> str:
    """Put accuracies and drifts of the mean into tables."""
    nets = {NETS[net].label: runs for net, runs in data["arms"].items()}
    named = {**nets, **_swept(data)}
    drifts = {
        f"layer {layer_number(layer)}{', in stds' * relative}": typical(layer, "mean", relative=relative)
        for relative in (False, True)
        for layer in layer_names(all_runs(data["arms"]), "drift")
    }
    others = "; nets that are named with a strength of their noise have one seed"
    return "\n".join(
        [
            "",
            *accuracies(named),
            f"Medians over {seeds(data['config'])}{others * bool(_swept(data))}.",
            f"Training is with noise, tests are with{'' if data['config']['noise']['in_tests'] else 'out'} it.",
            "",
            "How far the mean of a unit moves between two measurements:",
            *by_net(nets, drifts),
            *divergences(named),
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Describe what the noise does to accuracy, and to the stability of the activations."""
    config, schedule = data["config"], data["config"]["schedule"]
    layers = layer_names(all_runs(data["arms"]), "drift")
    train = {net: written(runs, TRAIN_ACCURACY.at_end(50)) for net, runs in data["arms"].items()}
    test = {net: written(runs, TEST_ACCURACY.at_end()) for net, runs in data["arms"].items()}
    found = (
        f"After {schedule['num_steps']:,} steps the training accuracy is {train['noisy_batch']} with noisy batch norm, "
        f"{train['batch_norm']} with batch norm and {train['plain']} without; the same noise leaves the plain net at "
        f"{train['noise']}, and noise in units of each unit's own standard deviation at {train['relative_noise']}. With "
        f"running statistics of noisy activations, tested with{'' if config['noise']['in_tests'] else 'out'} the noise, noisy "
        f"batch norm has a test accuracy of {test['noisy_batch']}, batch norm of {test['batch_norm']}. In "
        f"{schedule['probe_every']} steps the mean of a {subject(config)} in layers {layer_titles(layers)} moves "
        f"at least {decided(CLAIMS, data, 'noisy_mean')} as far with noisy batch norm as without batch norm, but in units of "
        f"the unit's standard deviation at most {decided(CLAIMS, data, 'noisy_mean_relative')} as far. Relative to their "
        f"spread, whole distributions move {decided(CLAIMS, data, 'noisy_distance')} as far in the layer with the smallest "
        "ratio."
    )
    return " ".join([found, *divergences({**data["arms"], **_swept(data)})])


def _swept(data: dict[str, Any]) -> dict[str, Any]:
    """Name the nets with noise of other strengths than the usual one."""
    return {
        f"{NETS[net].label}, strength {strength}": runs
        for strength, arms in by_strength(data).items()
        for net, runs in arms.items()
        if runs not in data["arms"].values()
    }
