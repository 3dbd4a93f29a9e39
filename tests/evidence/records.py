"""Runs of a few steps, made by hand."""

from experiments._evidence.quantities import TRAIN_ACCURACY
from experiments._evidence.quantity import Quantity


def make_run(seed=0, accuracy=(0.1, 0.5, 0.9), diverged_at=None, probe=None):
    """Make a run of a few steps, tested once, at its end."""
    train = {"step": list(range(len(accuracy))), "accuracy": list(accuracy)}
    test = {"step": [len(accuracy)], "accuracy": [accuracy[-1]]} if accuracy else {}
    return {"seed": seed, "train": train, "test": test, "probe": probe or {}, "diverged_at": diverged_at}


LOSS = Quantity("probe", lambda record: record["loss"], "loss")
END = TRAIN_ACCURACY.at_end()
