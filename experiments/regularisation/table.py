"""The table and the findings of batch norm as a regulariser."""

from typing import Any

from experiments._evidence.format import listing
from experiments._evidence.quantities import RECALIBRATED_ACCURACY, SMOOTHNESS, TEST_ACCURACY, TEST_LOSS
from experiments._evidence.table import by_net, divergences, seeds, written
from experiments._nets import NETS
from experiments.regularisation import NETS as BOTH
from experiments.regularisation import by_dropout, by_size
from experiments.regularisation.claims import BATCH_ERROR, GAP, POPULATION_ERROR, TRAIN_ERROR, gap_at


def summarise(data: dict[str, Any]) -> str:
    """Put errors by the size of the normalised batch, and tests by dropout, into tables."""
    sized, dropped = _sized(data), _dropped(data)
    errors = {
        "training": TRAIN_ERROR.at_end(),
        "test": BATCH_ERROR.at_end(),
        "population": POPULATION_ERROR.at_end(),
        "gap": GAP.at_end(),
        "gap at loss .5": gap_at(0.5),
        "gap at loss .1": gap_at(0.1),
        "smoothness": SMOOTHNESS.median(),
    }
    tests = {"test": TEST_ACCURACY.at_end(), "recalibrated": RECALIBRATED_ACCURACY.at_end(), "loss": TEST_LOSS.at_end()}
    return "\n".join(
        [
            "",
            *by_net(sized, errors),
            "Errors at the end, with the statistics of batches and, on test images, with those of the population. Gap: test -",
            "training error in points, both with the statistics of batches. Smoothness: along the gradient, median of all",
            f"scans, smaller is smoother. Medians over {seeds(data['config'])}.",
            "",
            *by_net({**sized, **dropped}, tests),
            "All test images at the end: accuracy with running and with recalibrated statistics, loss with running ones.",
            *divergences({**sized, **dropped}),
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Describe gap, error and smoothness by the size of the normalised batch, and the accuracy by dropout."""
    runs, shares = by_size(data), by_dropout(data)

    def listed(measure: Any) -> str:
        return listing(written(of_size, measure) for of_size in runs.values())

    accuracies = {net: listing(written(arms[net], TEST_ACCURACY.at_end()) for arms in shares.values()) for net in BOTH}
    found = (
        f"With statistics of {listing(map(str, runs))} examples, the gap between test and training error is "
        f"{listed(GAP.at_end())} at the end, the test error with statistics of the population "
        f"{listed(POPULATION_ERROR.at_end())}, and the effective smoothness along the gradient "
        f"{listed(SMOOTHNESS.median())}. With dropout of {listing(f'{share:g}' for share in shares)} the test accuracy is "
        f"{accuracies['batch_norm']} with batch norm and {accuracies['plain']} without."
    )
    return " ".join([found, *divergences({**_sized(data), **_dropped(data)})])


def _sized(data: dict[str, Any]) -> dict[str, Any]:
    """Name the nets without dropout."""
    sizes = {f"BN over {size:,} examples": runs for size, runs in by_size(data).items()}
    return {NETS["plain"].label: data["arms"]["plain"], **sizes}


def _dropped(data: dict[str, Any]) -> dict[str, Any]:
    """Name the nets with dropout."""
    nets = [(net, share) for net in BOTH for share in by_dropout(data) if share]
    return {f"{NETS[net].label}, dropout {share:g}": by_dropout(data)[share][net] for net, share in nets}
