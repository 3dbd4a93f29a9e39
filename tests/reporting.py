"""What tests of the report and of the command line share: data made by hand, and commands."""

from functools import cache

from conftest import ROOT

from experiments import __main__ as command_line
from experiments import _report


@cache
def committed_report():
    """Load the committed data, which takes seconds, once for all tests of a process."""
    return _report.load(ROOT / "figures")


def make_data(scale=1.0, seeds=(0, 1, 2), **fields):
    """Make data of the landscape, in which a net without batch norm has `scale` times the range and change of one with it."""
    probe = {"step": [0, 3500], "loss": [[1, 2]] * 2, "gradient_distance": [[1, 3]] * 2, "smoothness": [[4, 5]] * 2}
    larger = {n: [[scale * x for x in row] for row in rows] if n != "step" else rows for n, rows in probe.items()}
    arms = {
        arm: [{"seed": seed, "train": {}, "test": {}, "landscape": of_arm, "diverged_at": None} for seed in seeds]
        for arm, of_arm in (("plain", larger), ("batch_norm", probe))
    }
    origin = {"command": "python -m experiments landscape", "device": "CPU", "cpu_cores": 2, "date": "2026-01-02"}
    config = {"vgg": {"schedule": {"num_steps": 1234}, "seeds": list(seeds)}, "deep_linear": {"seeds": [0]}}
    data = {"experiment": "landscape", "preset": "cpu", "config": config, "provenance": [origin], "seconds": 130.0}
    return {**data, "arms": arms, **fields}


def run(capsys, *arguments):
    """Run the command line, and return its exit status, output and errors."""
    try:
        command_line.main([str(argument) for argument in arguments])
        status = 0
    except SystemExit as stop:
        status = stop.code
    return (status, *capsys.readouterr())
