"""The tables and the findings of lp norms: a few numbers per net."""

from typing import Any

from experiments._evidence.quantities import GRADIENT_CHANGE, LOSS_RANGE, TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.run import Arms, pairs
from experiments._evidence.table import by_net, divergences, grid, seeds, written
from experiments._evidence.value import quantiles
from experiments._evidence.verdict import decided
from experiments._nets import NETS
from experiments.lp_norms import NORMS
from experiments.lp_norms.claims import CLAIMS, EARLY_ACCURACY
from experiments.lp_norms.quantities import FINAL_LOSS, draws_of

_MARGIN = 0.1  # nets that end on the same plateau differ by less
_COLUMNS = {
    "early train": EARLY_ACCURACY,
    "train": TRAIN_ACCURACY.at_end(50),
    "test": TEST_ACCURACY.at_end(),
    "loss range": LOSS_RANGE.median(),
    "gradient change": GRADIENT_CHANGE.median(),
}


def summarise(data: dict[str, Any]) -> str:
    """Write a row for each net: of the VGGs medians over seeds, of the deep linear networks quartiles over draws too."""
    arms, deep, rows = data["arms"], data["deep_linear"], {}
    for net, runs in deep.items():
        low, high = map(FINAL_LOSS.format.number, quantiles(map(FINAL_LOSS.of, runs), (0.25, 0.75)))
        below = [count_below(deep, net, other) for other in ("plain", "batch_norm")]
        rows[NETS[net].label] = [written(runs, FINAL_LOSS), f"{low} to {high}", *below]
    return "\n".join(
        [
            "\nVGG:",
            *by_net({NETS[net].label: runs for net, runs in arms.items()}, _COLUMNS),
            "Early: the median over steps 80 to 1,000; train: the last 50 batches. Along the gradient, medians over all scans:",
            f"the largest - smallest loss, the largest change of the gradient. Medians over {seeds(data['config']['vgg'])}.",
            "\nDeep linear network:",
            *grid(["final loss", "quartiles", "<< without BN", "<< with BN"], rows),
            f"Mean of the last 100 steps, {draws_of(deep)} of the linear map; <<: in how many of them more than 10 % below.",
            *divergences(arms),
            *divergences(deep),
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Describe how the three norms compare with batch norm and with no normaliser, in both networks."""
    arms, deep = data["arms"], data["deep_linear"]
    early = {net: written(runs, EARLY_ACCURACY) for net, runs in arms.items()}
    steps, part = ("3,500", "") if data["config"]["vgg"]["schedule"]["num_steps"] >= 3500 else ("1,000", "_part")
    without, beside = (decided(CLAIMS, data, f"lp_norms_{name}{part}") for name in ("predictiveness", "as_smooth"))
    losses = {net: written(runs, FINAL_LOSS) for net, runs in deep.items()}

    def listed(values: dict[str, str]) -> str:
        return ", ".join(f"{values[net]} ({NETS[net].label})" for net in NORMS)

    found = (
        f"Over steps 80 to 1,000 the VGG's training accuracy is {listed(early)}, against {early['batch_norm']} with batch "
        f"norm and {early['plain']} without any; over steps 80 to {steps}, the gradient changes along itself at least "
        f"{without} as much without any as with one of them, and with one of them at most {beside} as much as with batch norm. "
        f"The deep linear network ends at a loss of {listed(losses)}, against "
        f"{losses['batch_norm']} with batch norm and {losses['plain']} without any, medians of "
        f"{draws_of(deep)}: by more than 10 % the l1 norm ends below batch norm in "
        f"{count_below(deep, 'l1', 'batch_norm')}, and the l-infinity norm below the plain net in "
        f"{count_below(deep, 'linf', 'plain')}."
    )
    return " ".join([found, *divergences(arms), *divergences(deep)])


def count_below(arms: Arms, net: str, other: str) -> str:
    """Write in how many of all draws a net ends clearly below another; empty for a net and itself."""
    losses = [(FINAL_LOSS.of(run), FINAL_LOSS.of(partner)) for run, partner in pairs(arms[net], arms[other])]
    return "" if net == other else f"{sum(own < (1 - _MARGIN) * theirs for own, theirs in losses)} of {len(losses)}"
