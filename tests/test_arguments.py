"""The command line of an experiment: presets, choices, flags of nested fields, and what it refuses."""

import pytest
from test_experiments import SMOKE, run

from experiments import landscape, quickstart
from experiments._command.arguments import parse
from experiments._config import BatchNorm, Drift, Landscape, LpNorm, MLPRun, NoNorm

UNKNOWN = "Unrecognized options: --probes"
WIDTH = "model.width must be at least 1/64, which leaves one feature in the first layer, and finite"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--optimizer.learning-rat", "1"],
            "Unrecognized options: --optimizer.learning-rat, 1 (perhaps --optimizer.learning-rate)",
        ),
        (["--learning-rate", "1"], "Unrecognized options: --learning-rate, 1 (perhaps --optimizer.learning-rate)"),
        (
            ["--optimizer.learning-rate", "fast"],
            "optimizer.learning_rate must be a number, got fast.",
        ),
        (["--schedule.num-steps=5.5"], "schedule.num_steps must be a whole number, got 5.5."),
        (["--seeds", "0", "a", "--parallel", "1"], "seeds must be whole numbers, got 0 a."),
        (["--data.subset", "some"], "data.subset must be a whole number or None, got some."),
        (["--norm.layers", "first"], "norm.layers must be 'all' or whole numbers, got first."),
        (["--optimizer.name", "adagrad"], "optimizer.name must be one of 'sgd', 'adam', 'rmsprop', got 'adagrad'."),
        (["--figure", "x"], "Unrecognized options: --figure, x (perhaps --figures)"),
        (["--optimizer.learning-rate", "-1"], "optimizer.learning_rate must be > 0 and finite, got -1.0."),
        (["--schedule.eval-every", "35"], "schedule.eval_every must be a multiple of probe_every, 10, got 35."),
        (["--seeds", "1", "1"], "seeds must be one or more different numbers from 0 to 2147483647, got (1, 1)."),
        (["--norm.layers"], "norm.layers must be 'all' or one or more different numbers from 1, got ()."),
        (["--norm.layers", "12"], "norm.layers must be 'all' or numbers from 1 to 10, got (12,)."),
        (
            ["--norm", "none", "--norm.momentum", "0.9"],
            "Unrecognized options: --norm.momentum, 0.9; --norm.momentum needs --norm batch or --norm noisy_batch or --norm lp "
            "or --norm ghost_batch or --norm renorm",
        ),
        (
            ["--probes", "landscape", "--probes.drift.units", "4"],
            "Unrecognized options: --probes.drift.units, 4; --probes.drift.units needs --probes drift",
        ),
        (
            ["--norm", "ghost"],
            "norm must be one of none, batch, noisy_batch, noise, relative_noise, lp, ghost_batch, renorm, huber, layer, "
            "group, instance, dyt, got 'ghost'.",
        ),
        (["--norm"], "argument --norm: expected one argument"),
        (
            ["--probes", "weather"],
            "probes must be one of landscape, random_direction, successive_gradients, batch_sharpness, shift, dummy_shift, "
            "drift, drift_before_norm, drift_after_activation, evaluation, generalisation, percentiles, hidden_gradients, "
            "scales, zero_units, layer_dependence, moment_control, horizon, plane, eigenvalues, "
            "flatness, got 'weather'.",
        ),
        (
            ["--probes", "drift", "--probes.landscape.penalty", "True"],
            UNKNOWN + ".landscape.penalty, True; --probes.landscape.penalty needs --probes landscape",
        ),
        (["--probes", "drift", "drift"], "probes must be different, got drift drift."),
        (["--probes", "drift"], "probes must be at least landscape, got ('drift',)."),
        (["--norm", "none"], "norm must be a normaliser, with which a net is compared that has none, got none."),
        (["--model.width", "inf"], f"{WIDTH}, got inf."),
        (["--model.width", "0.001"], f"{WIDTH}, got 0.001."),
        (["--model.width", "1e20"], "model.width must lead to at most 2147483647 weights in an array, got 1e+20."),
        (
            ["--optimizer.learning-rate", "1e300"],
            "optimizer.learning_rate must be at most 3.4e38, float32's largest number, got 1e+300.",
        ),
        (
            ["--optimizer.weight-decay", "1e39"],
            "optimizer.weight_decay must be at most 3.4e38, float32's largest number, got 1e+39.",
        ),
        (["--norm.epsilon", "1e300"], "norm.epsilon must be at most 3.4e38, float32's largest number, got 1e+300."),
        (
            ["--probes.landscape.step-multiples", "1", "1e40"],
            "probes.landscape.step_multiples must be at most 3.4e38, float32's largest number, got (1.0, 1e+40).",
        ),
        (
            ["--schedule.num-steps", "100000000000000000000"],
            "schedule.num_steps must be at most 2147483647, got 100000000000000000000.",
        ),
        (["--parallel", "100000000000000000000"], "parallel must be at most 2147483647, got 100000000000000000000."),
        (["--checkpoint-seconds", "nan"], "checkpoint_seconds must be >= 0 and finite, got nan."),
        (
            ["--probes.landscape.step-multiples", "0"],
            "probes.landscape.step_multiples must be one or more different numbers > 0 and finite, got (0.0,).",
        ),
        (["--preset", "huge"], "preset must be one of cpu, smoke, got 'huge'."),
        (
            ["--optimizer.name", "adam", "--optimizer.momentum", "0.5"],
            "optimizer.momentum must be 0 for adam, which has its own, got 0.5.",
        ),
        (
            ["--optimizer.batch-size", "9999"],
            "optimizer.batch_size must be between 1 and 1,500, the examples there are, got 9999.",
        ),
        (
            ["--probes", "shift", "--probes.shift.layers", "12"],
            "probes.shift.layers must be between 1 and 11, the weight layers there are, got (12,).",
        ),
        (
            ["--probes", "drift", "--probes.drift.layers", "3", "12"],
            "probes.drift.layers must be between 1 and 11, the weight layers there are, got (3, 12).",
        ),
        (
            ["--probes", "dummy_shift", "--probes.dummy-shift.layer", "9"],
            "probes.dummy_shift.layer must be one of the 8 convolutions there are, got 9.",
        ),
        (["--data.image-size", "4"], "data.image_size must be at least the images' own, 8 x 8, got 4."),
    ],
)
def test_impossible_arguments(arguments, message, capsys, tmp_path):
    """One line on standard error, exit status 2, no run."""
    preset = [] if "--preset" in arguments else SMOKE
    status, output, errors = run(capsys, quickstart, *preset, "--results", str(tmp_path), *arguments)
    assert (status, errors) == (2, f"error: {message}\n")
    assert output in ("", "Expected: not measured yet.\n")
    assert not list(tmp_path.glob("*/*/metrics.jsonl"))


def test_what_is_chosen_keeps_what_fits():
    """Another normaliser has the settings that both have; probes that were there keep theirs, others have the usual ones."""
    arguments = ["--preset", "smoke", "--norm", "lp", "--norm.p", "1", "--probes", "landscape", "drift"]
    _, config, _ = parse("mnist_mlp", "", {"smoke": MLPRun().measuring("landscape")}, arguments)
    assert config.norm == LpNorm(momentum=0.99, epsilon=1e-3, p=1)
    assert [*config.probes] == [Drift(layers=(3,)), Landscape()]
    _, config, _ = parse("landscape", "", landscape.PRESETS, [*SMOKE, "--deep-linear.norm", "none", "--vgg.probes"])
    assert (config.deep_linear.norm, config.vgg.norm, [*config.vgg.probes]) == (NoNorm(), BatchNorm(), [])


def test_layers_of_nested_runs_are_named_by_their_flags(capsys, tmp_path):
    """A layer that is not there is refused before anything is trained."""
    arguments = [*SMOKE, "--results", str(tmp_path), "--vgg.norm.layers", "12"]
    status, output, errors = run(capsys, landscape, *arguments)
    assert (status, output) == (2, "")
    assert errors == "error: vgg.norm.layers must be 'all' or numbers from 1 to 10, got (12,).\n"


def test_help_names_presets_and_fields(capsys):
    """`--help` explains every field, and which presets there are."""
    status, output, _ = run(capsys, landscape, "--help")
    assert status == 0
    assert f"--preset {{{' | '.join(landscape.PRESETS)}}}" in " ".join(output.split())
    assert {"cpu", "smoke", "mameli", "alx", "overnight", "full_width", "paper"} <= {*landscape.PRESETS}
    assert "--vgg.schedule.probe-every" in output
    assert "--vgg.norm {none | batch |" in output
    assert "--vgg.probes.landscape.step-multiples" in output
    assert "steps between measurements" in output


def test_a_hint_names_the_flag_of_every_net():
    """A field that several nets have is not that of the net with the more similar name."""
    with pytest.raises(ValueError, match=r"\(perhaps --vgg\.seeds or --deep-linear\.seeds\)$"):
        parse("landscape", "", landscape.PRESETS, ["--seeds", "0"])
