"""The experiment on the theorems: its numbers satisfy them, its figure and table are drawn, and finished runs are read back."""

import shutil
import signal
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from disturbed import send

from bnjax.runs import config_dict, read_json, write_json
from bnjax.sweep.signals import Interrupted
from experiments import theory_bounds
from experiments._config import Options, change
from experiments._evidence.keep import keep
from experiments._training.errors import ConfigError
from experiments._training.experiment import collect
from experiments._training.nets import train_nets
from experiments.theory_bounds import figure, table
from experiments.theory_bounds import runs as theory_runs
from experiments.theory_bounds.quantities import ACCEPTED, EQUALITIES, RATIOS, STATEMENTS, largest_error, share

SMOKE = replace(theory_bounds.PRESETS["smoke"], seeds=(0,))


def train(config, folder, **options):
    """Train and check the nets of a configuration, with results in a folder."""
    nets = theory_runs.nets(config, Options(results=str(folder), **options))
    return keep(collect(nets, train_nets(nets.values(), Options(results=str(folder), **options))), theory_bounds.KEEP)


def run_of(folder, arm):
    """Find the run of an arm in a folder of results."""
    (file,) = (
        file
        for file in folder.glob("mlp-*/config.json")
        if (read_json(file)["norm"]["kind"] == "none") == (arm == "plain")
    )
    return file.parent / "seed0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the smoke preset's runs of one seed are kept."""
    return tmp_path_factory.mktemp("theory_bounds")


@pytest.fixture(scope="module")
def data(folder):
    """What a figure's data file would hold, as it is read from JSON."""
    found = train(SMOKE, folder)
    write_json(folder / "data.json", {"preset": "smoke", "config": config_dict(SMOKE), **found})
    return read_json(folder / "data.json")


pytestmark = pytest.mark.xdist_group("theory_bounds")  # one worker: they share the run


def runs(data):
    """List the runs of both nets."""
    return [run for arm in data["arms"].values() for run in arm]


@pytest.mark.thorough
def test_equalities_hold_to_rounding(data):
    """Every equality has a relative error below 1e-8 at every step, in both nets; insertion is checked where BN is inserted."""
    for run in runs(data):
        errors = run["probe"]["errors"]
        for name in errors:
            assert largest_error(name).of(run) < ACCEPTED, name
        assert set(EQUALITIES.values()) - set(errors) <= {"preserved_outputs"}
        assert {"gap 0.001", "gap 1"} <= set(errors)
    assert "preserved_outputs" in data["arms"]["plain"][0]["probe"]["errors"]


@pytest.mark.thorough
def test_statements_that_hold_everywhere(data):
    """The corrected bounds hold for all units; inserted BN increases no gradient, so 4.2's second line holds for H = cI."""
    for run in runs(data):
        assert share("corrected_holds").of(run) == 1
        for epsilon in SMOKE.epsilons:
            assert share(f"epsilon {epsilon:g}").of(run) == 1
    (plain,) = data["arms"]["plain"]
    # Of a ReLU net without batch norm the loss is convex in the pre-activations of a unit, except at its kinks.
    assert all(share(name).of(plain) == 1 for name in ("gradient_not_larger", "positive", "isotropic_holds"))
    assert 0 < share("printed_holds").of(plain) < 1
    assert 0 < share("smoother").of(plain) < 1


@pytest.mark.thorough
def test_what_is_recorded(data):
    """Each step has a number per layer, histograms count every unit with a gradient, and nothing stays in float64."""
    for run in runs(data):
        probe = run["probe"]
        assert run["test"]["step"] == probe["step"] == list(SMOKE.check_steps)
        assert np.shape(probe["counts"]["units"]) == (3, 2)
        assert np.shape(probe["ratios"]["gradient_ratio"]) == (3, 2, 3)
        counted = np.sum(probe["histogram"]["removed"], axis=1)
        assert (counted <= np.sum(probe["counts"]["active"], axis=1)).all()
        assert run["diverged_at"] is None
    np.testing.assert_array_equal(
        np.sum(data["arms"]["plain"][0]["probe"]["histogram"]["removed"], axis=1),
        np.sum(data["arms"]["plain"][0]["probe"]["counts"]["active"], axis=1),
    )
    assert jnp.ones(()).dtype == jnp.float32


@pytest.mark.thorough
def test_figure_and_table(data, tmp_path):
    """The figure is drawn from the data, and the table names every quantity."""
    figure.plot(data).draw().savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    words = table.summarise(data)
    for label in (*EQUALITIES, *STATEMENTS, *RATIOS):
        assert label in words


@pytest.mark.thorough
def test_finished_runs_are_read_back(data, folder, monkeypatch):
    """Running again trains nothing and returns the same; a run that is missing is trained to the same numbers."""
    assert train(SMOKE, folder)["arms"] == data["arms"]
    shutil.rmtree(run_of(folder, "plain"))
    again = train(SMOKE, folder)
    times = {"seconds": 0}
    assert [run | times for run in runs(again)] == [run | times for run in runs(data)]
    monkeypatch.setattr("bnjax.train.run_steps", None)
    assert train(SMOKE, folder)["arms"] == again["arms"]


@pytest.mark.thorough
def test_a_signal_stops_after_a_check(data, folder, tmp_path, monkeypatch):
    """A run that is asked to stop does no more than the chunk at hand; finished ones are kept, the others continue."""
    plain = run_of(folder, "plain").parent
    shutil.copytree(plain, tmp_path / plain.name)
    check_layer, checked = theory_runs.check_layer, []

    def signalled(*arguments):
        if not checked:
            send(signal.SIGTERM)()
        checked.append(1)
        return check_layer(*arguments)

    monkeypatch.setattr("experiments.theory_bounds.runs.check_layer", signalled)
    with pytest.raises(Interrupted):
        train(SMOKE, tmp_path, parallel=1)
    assert len(checked) == len(SMOKE.model.hidden)
    assert [path.parts[-3] for path in tmp_path.glob("*/seed0/finished.json")] == [plain.name]
    monkeypatch.undo()
    found = train(SMOKE, tmp_path)["arms"]
    assert [run | {"seconds": 0} for run in runs({"arms": found})] == [run | {"seconds": 0} for run in runs(data)]


@pytest.mark.thorough
@pytest.mark.parametrize("content", ["[]", "{}", "{"])
def test_a_finished_run_that_is_none(content, data, folder, tmp_path):
    """A folder with what something else has left is named in a line."""
    shutil.copytree(folder, tmp_path / "results")
    (run_of(tmp_path / "results", "plain") / "finished.json").write_text(content)
    with pytest.raises(ConfigError, match=r"The finished run in .*/seed0 cannot be read"):
        train(SMOKE, tmp_path / "results")


@pytest.mark.slow
def test_checks_of_other_epsilons_are_other_measurements(tmp_path):
    """A net that is shared is checked with each, under names of their own."""
    small = replace(SMOKE, check_steps=(0, 5))
    for epsilon in (1e-3, 1.0, 1e-3):
        errors = train(replace(small, epsilons=(epsilon,)), tmp_path)["arms"]["plain"][0]["probe"]["errors"]
        assert {name for name in errors if name.startswith("gap")} == {f"gap {epsilon:g}"}


def test_only_threads(tmp_path):
    """These runs are trained in threads; another way is refused."""
    with pytest.raises(ConfigError, match="batching must be threads here, or left out, got vmap"):
        train(SMOKE, tmp_path, batching="vmap")


@pytest.mark.thorough
def test_a_run_that_diverges_is_a_result(tmp_path):
    """Its step is recorded, what was checked before is kept, and the figure is drawn."""
    config = change(SMOKE, optimizer={"learning_rate": 1e30})
    found = train(config, tmp_path)
    found = {"preset": "smoke", "config": config_dict(config), **found}
    (plain,) = found["arms"]["plain"]
    assert 0 < plain["diverged_at"] < 40
    assert plain["probe"]["step"] == [0]
    assert f"stopped being finite at step {plain['diverged_at']}" in table.summarise(found)
    figure.plot(found).draw().savefig(tmp_path / "figure.png")


def test_units_without_a_gradient_are_left_out():
    """The largest error of units with a gradient is kept; those without are counted, and their errors left out."""
    found = {"active": jnp.array([True, False]), **dict.fromkeys(RATIOS.values(), jnp.ones(2))}
    found |= dict.fromkeys(("aligned", "positive"), jnp.array([True, True]))
    summary = theory_runs.summarise_units({**found, "theorem_4_1": jnp.array([1e-6, 1.0])})
    assert summary["errors"]["theorem_4_1"] == pytest.approx(1e-6)
    assert summary["counts"]["smoother"] == 1
    assert summary["counts"]["units"] == 2


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("check_steps", (5, 10), r"check_steps must be 0 and one or more other numbers, ascending, got \(5, 10\)\."),
        (
            "check_steps",
            (0, 10, 5),
            r"check_steps must be 0 and one or more other numbers, ascending, got \(0, 10, 5\)\.",
        ),
        ("model", {"hidden": ()}, r"hidden must hold one number of at least 1 per hidden layer, got \(\)\."),
        ("model", {"norm_position": "after"}, r"model\.norm_position must be before, got after\."),
        ("optimizer", {"batch_size": 1}, r"optimizer\.batch_size must be at least 2, got 1\."),
        ("seeds", (1, 1), r"seeds must be one or more different numbers from 0 to 2147483647, got \(1, 1\)\."),
        ("epsilons", (0.0,), r"epsilons must be one or more different numbers > 0 and finite, got \(0\.0,\)\."),
    ],
)
def test_impossible_configurations(field, value, message):
    """The message names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        change(SMOKE, **{field: value})
