"""Values from Mameli's notebooks: test accuracies as printed, all others read off figures, to about 2 % of an axis."""

from experiments._evidence.run import Arms, num_steps
from experiments._figures.panels import Published

_EPOCH = 390
_SOURCE = "Mameli's repository"
Points = dict[str, dict[int, float]]


def _by_epoch(plain: str, batch_norm: str) -> Points:
    """Parse test accuracies in per mille, one per epoch."""
    return {
        net: {_EPOCH * (i + 1): int(value) / 1000 for i, value in enumerate(values.split())}
        for net, values in (("plain", plain), ("batch_norm_4", batch_norm))
    }


# From the notebook of gradients, 10 epochs, and from that of covariate shift, 30 epochs.
TEN_EPOCHS = _by_epoch("127 221 253 247 309 316 396 431 439 445", "350 530 392 628 648 697 588 624 672 724")
THIRTY_EPOCHS = _by_epoch(
    "108 126 218 268 296 359 371 428 425 482 492 498 534 565 577 605 590 622 635 651 670 675 664 695 692 664 705 685 708 725",
    "391 511 565 590 601 683 690 607 715 689 707 752 667 738 762 690 669 765 703 759 765 778 779 783 786 788 780 792 792 792",
)


def _read(steps: str, values: str) -> dict[int, float]:
    """Parse points read off a figure."""
    return {int(step): float(value) for step, value in zip(steps.split(), values.split(), strict=True)}


SECOND_NET: Points = {
    "plain": _read(
        "800 1250 2000 3000 4000 5000 6000 7000 8000 9000 10000 11000 11600",
        "0.1 1.0 1.3 1.9 2.0 2.1 2.4 2.5 3.0 3.4 3.8 4.0 4.5",
    ),
    "batch_norm_4": _read(
        "50 200 800 1000 2000 3000 4000 5000 6000 7000 8000 9000 10000 11000",
        "2.0 3.0 3.5 3.7 3.9 4.2 5.2 5.3 5.3 4.1 2.6 2.1 1.6 1.2",
    ),
}
SUM: Points = {
    "plain": _read(
        "250 500 750 1000 1500 2000 2500 3000 3500 3850",
        "0.07 0.1 0.22 0.65 0.69 0.98 1.12 1.49 1.76 1.74",
    ),
    "batch_norm_4": _read(
        "20 100 250 500 1000 1500 2000 2500 3000 3500 3850",
        "1.43 2.1 2.5 2.9 3.3 3.9 4.1 4.6 4.9 5.3 5.4",
    ),
}
LOSS_AND_CHANGE: Points = {
    "plain": _read(
        "500 750 1000 1500 2000 2500 3000 3500 3850",
        "2.31 2.28 2.25 2.11 1.99 1.86 1.74 1.65 1.62",
    ),
    "batch_norm_4": _read(
        "100 250 500 1000 1500 2000 2500 3000 3500 3850",
        "2.05 1.77 1.61 1.34 1.23 1.01 0.92 0.87 0.73 0.67",
    ),
}


def accuracies(arms: Arms) -> Published:
    """Return the test accuracies of the notebook that matches the runs' length, up to their end."""
    return up_to_end(THIRTY_EPOCHS if _end(arms) > 10 * _EPOCH else TEN_EPOCHS, arms)


def up_to_end(points: Points, arms: Arms) -> Published:
    """Return published points up to the last step of the runs."""
    end = _end(arms)
    shown = {net: {step: value for step, value in each.items() if step <= end} for net, each in points.items()}
    return Published(_SOURCE, {net: ([*each], [*each.values()]) for net, each in shown.items()})


def _end(arms: Arms) -> int:
    return max((num_steps(run) for runs in arms.values() for run in runs), default=0)
