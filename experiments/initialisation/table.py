"""The table and the findings of what batch norm does to networks of random weights."""

from typing import Any

from experiments._evidence.format import Format, plural
from experiments._evidence.table import by_net, cell, grid, middle
from experiments._evidence.verdict import decided
from experiments._nets import NETS, UNNAMED, Setting
from experiments.initialisation.claims import CLAIMS
from experiments.initialisation.quantities import (
    BRANCH,
    CROSS_ENTROPY,
    DIRECTIONS,
    EIGENVALUE,
    FIXED,
    GAP,
    LARGEST_BRANCH,
    LENGTH,
    LINEAR,
    MEAN_BRANCH,
    ODD,
    OTHERS,
    PENALTY,
    PLAIN,
    RANK,
    RELU,
    TOTAL,
    at_width,
    vgg,
)

_BRANCHES = {"l x ratio, block l": BRANCH, "mean ratio": MEAN_BRANCH, "largest ratio": LARGEST_BRANCH}
_LOSSES = {"cross-entropy": CROSS_ENTROPY, "|w|²": LENGTH, "L2 penalty": PENALTY, "sum": TOTAL}


def summarise(data: dict[str, Any]) -> str:
    """Put quantities by width into a table for each group of nets, residual branches and losses into two others."""
    rank, gap = {"soft rank": (RANK, DIRECTIONS)}, {"orthogonality gap": (GAP, PLAIN)}
    angles = {"cosine of the others": (OTHERS, PLAIN), "|cosine| of the odd one": (ODD, PLAIN)}
    eigenvalue = {"largest eigenvalue": (EIGENVALUE, PLAIN)}
    nets = ("plain", "batch_norm")
    deep = [
        *_rows(data, "representations", nets, rank, LINEAR),
        *_rows(data, "representations", nets, rank, RELU),
        *_rows(data, "representations", ("batch_norm",), angles, RELU),
    ]
    fisher = [
        *_rows(data, "fisher", (*nets, "batch_norm_output"), eigenvalue),
        *_rows(data, "fisher", ("batch_norm_output",), eigenvalue, FIXED),
    ]
    tables = {
        "representations": deep,
        "orthogonality": _rows(data, "orthogonality", (*nets, "rescaled"), gap),
        "fisher": fisher,
    }
    lines: list[str] = []
    for group, rows in tables.items():
        heads = [plural(width, "unit") for width in data["config"][group]["widths"]]
        lines += ["", *grid(heads, dict(rows))]
    blocks = {
        NETS[net].label: [cell(middle(runs, measure), measure.format) for measure in _BRANCHES.values()]
        for net, runs in data["residual"].items()
    }
    # NOTE: older data have no losses.
    losses = {
        vgg(data["config"][group]["model"]): data[group]["plain"]
        for group in ("penalty", "other_penalty")
        if group in data
    }
    return "\n".join(
        [
            *lines,
            "",
            *grid(list(_BRANCHES), blocks),
            *(["", *by_net(losses, _LOSSES)] if losses else []),
            "Soft rank and cosines of the last layer, orthogonality gap as a mean of all. Ratio: variance of a residual branch",
            "over that of its shortcut; l is the last block of the first stage. L2 penalty: half the weight decay times",
            f"|w|². Losses in nats. Medians over {plural(_draws(data), 'draw')}.",
        ]
    )


def _draws(data: dict[str, Any]) -> int:
    return len(data["config"]["seeds"])


def findings(data: dict[str, Any]) -> str:
    """Describe how a batch changes in deep nets, the Fisher matrix, residual branches, and a VGG's initial loss."""

    def said(name: str, unknown: str = "an unknown number of") -> str:
        return decided(CLAIMS, data, name, unknown=unknown)

    return (
        f"Before the first step, without batch norm, the soft rank of a batch in the last layer of the narrowest deep net is "
        f"{said('init_rank_plain')}; with batch norm it grows {said('init_rank')} per doubling of the width in linear nets and "
        f"{said('init_rank_relu')} in ReLU nets, in which the mean cosine of all examples except an odd one is "
        f"{said('init_cluster')}. Linear nets make examples orthogonal up to a gap that changes {said('init_gap_width')} "
        f"per doubling of the width with batch norm that does not centre, and {said('init_gap_centred')} with one that does. "
        f"The Fisher matrix's largest eigenvalue changes {said('init_fisher_plain')} per doubling of the width without batch "
        f"norm, {said('init_fisher_hidden')} with batch norm in the hidden layers, and {said('init_fisher_last')} with batch "
        f"norm in the last layer, too, if there are as many examples as units. At the last block of a residual net's first "
        f"stage, the variance of the branch times the number of the block is {said('init_branch')} that of the shortcut with "
        f"batch norm; without it, a branch has {said('init_branch_plain')} the variance of its shortcut. With an L2 "
        f"penalty of 0.0005, the plain VGG of 13 layers starts from a loss of {said('init_penalty', 'unknown size')}, where "
        f"Santurkar et al. 2018 plot 4.27; VGG-A, with dense layers of 512 units, from "
        f"{said('init_penalty_vgg_a', 'an unknown one')}."
    )


def _rows(
    data: dict[str, Any],
    group: str,
    nets: tuple[str, ...],
    quantities: dict[str, tuple[str, Format]],
    at: Setting = UNNAMED,
) -> list[tuple[str, list[str]]]:
    """Write a row for each net and quantity of a group in a setting, with a cell for each width."""
    rows = []
    for net in nets:
        runs = data[group].get(at.arm(net), [])
        for name, (words, form) in quantities.items():
            cells = [cell(middle(runs, at_width(words, width)), form) for width in data["config"][group]["widths"]]
            rows.append((f"{at.name(NETS[net].label)}: {name}", cells))
    return rows
