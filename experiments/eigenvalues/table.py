"""The table and the findings of the largest eigenvalues of the Hessian."""

from typing import Any

from experiments._evidence.quantities import TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.table import by_measure, divergences, seeds
from experiments._evidence.verdict import decided
from experiments.eigenvalues.claims import CLAIMS
from experiments.eigenvalues.quantities import FIRST, isolation, largest, share


def summarise(data: dict[str, Any]) -> str:
    """Put what was measured at step 0 and after it into a table: a row per quantity, a column per net, and their ratio."""
    rows: dict[str, Any] = {"training accuracy": TRAIN_ACCURACY.at_end(50), "test accuracy": TEST_ACCURACY.at_end()}
    for name, make in {"largest": largest, "largest / tenth": isolation, "gradient's share": share}.items():
        rows |= {f"{name}, step 0": make().median(last=0), f"{name}, later": make().median(FIRST)}
        rows[f"{name}, kept statistics"] = make(frozen=True).median(FIRST)
    return "\n".join(
        [
            *by_measure(data["arms"], rows, ("batch_norm", "plain")),
            "Eigenvalues of the Hessian of the loss of the first training images in one batch, normalised by its own",
            "statistics, or by the running ones, which are kept. Gradient's share: of its squared norm, along the ten first",
            f"eigenvectors. Medians over the training after step 0, then over {seeds(data['config'])}.",
            *divergences(data["arms"]),
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Describe how far the largest eigenvalue stands above the others, and what share of the gradient lies there."""

    def of(name: str) -> str:
        return decided(CLAIMS, data, f"eigenvalues_{name}", unknown="an unknown number of times")

    found = (
        "After the start of training, the ratio of the largest eigenvalue of the loss's Hessian to the tenth is, with batch "
        f"norm, {of('isolated')} that of the plain net, the largest eigenvalue itself {of('largest')}, and the gradient's "
        f"share along the first ten eigenvectors {of('gradient')}; at initialisation, the largest eigenvalue is {of('start')} "
        f"that of the plain net. With fixed running statistics, the ratio is {of('kept')} as large as with the batch's own."
    )
    return " ".join([found, *divergences(data["arms"])])
