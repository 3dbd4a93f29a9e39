"""All normalisers: which nets there are, and tables, figures and claims on data made by hand."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import assert_readable
from runs import ORIGIN

from bnjax import linen, models
from bnjax.runs import config_dict
from experiments import which_norm
from experiments._config import DyT, HuberNorm, LpNorm, MLPRun, NoNorm, Norm, PlainNoise, change
from experiments._evidence.keep import check_needs, keep
from experiments._evidence.verdict import judge
from experiments._figures.panels.scatter import _apart  # pyright: ignore[reportPrivateUsage]
from experiments.which_norm import NETS, figure, norms, table
from experiments.which_norm.claims import CLAIMS, NORMALISERS
from experiments.which_norm.quantities import COMPARED, TEST, ranked

CPU = which_norm.PRESETS["cpu"]
# Of each net, by its place: what is compared grows with it.
ORDERS = {"band": 1, "shift": 1, "drift": 1, "active": 1}


def drifting(size, steps):
    """Make the drift of a layer that moves as far between any two measurements."""
    moved = {f"relative_{name}": [[size]] * (len(steps) - 1) for name in ("mean", "variance", "wasserstein")}
    return {"step": steps, "layers": {"layer_10": {"successive": moved}, "layer_3": {"successive": moved}}}


def net(place, seed, orders, num_steps=500, diverged_at=None):
    """Make a run whose accuracy falls with its place."""
    steps, sizes = [0, 50, 100], {name: 1.0 + order * place + 0.01 * seed for name, order in orders.items()}
    accuracy = 0.605 - 0.02 * place
    layer = {name: [99.0, sizes["shift"], sizes["shift"]] for name in ("difference", "relative_difference", "cosine")}
    # It rises to its end, so that a level is reached the later the lower that is.
    num_points = (diverged_at or num_steps) // 10
    rising = [accuracy * min(1.0, i / 40) for i in range(num_points)]
    curve = {"step": [10 * i for i in range(num_points)], "window": 10, "loss": [1.0] * num_points, "accuracy": rising}
    return {
        "seed": seed,
        "diverged_at": diverged_at,
        "train": curve,
        "test": {"step": [num_steps], "accuracy": [accuracy]},
        "landscape": {
            "step": steps,
            "loss": [[1.0, 1.0 + size] for size in (99.0, sizes["band"], sizes["band"])],
            "gradient_distance": [[0.5, sizes["band"]]] * 3,
            "smoothness": [[0.5, sizes["band"]]] * 3,
        },
        "shift": {"step": steps, "layers": {"layer_5": layer, "layer_10": layer}},
        "drift": drifting(sizes["drift"], steps),
        "drift_after_activation": drifting(sizes["active"], steps),
    }


def made(nets=NETS, diverged=(), **orders):
    """Make the data of some nets, of which the later ones do worse."""
    orders = ORDERS | orders
    places = {name: NETS.index(name) for name in nets}
    arms = {
        name: [net(place, seed, orders, diverged_at=40 if name in diverged else None) for seed in (0, 1, 2)]
        for name, place in places.items()
    }
    origin = {"preset": "cpu", "provenance": [ORIGIN], "seconds": 9.0}
    return {"config": config_dict(CPU), "arms": arms, **origin}


def verdicts(data):
    """Judge every claim."""
    return {claim.name.removeprefix("which_"): judge(claim, data) for claim in CLAIMS}


def test_every_normaliser_is_there():
    """Those that the configuration knows, but for noise alone and one that has an error on purpose."""
    known = {choice.kind for choice in Norm.choices().values() if choice.__module__.startswith("experiments._config")}
    left_out = {kind.kind for kind in (PlainNoise, HuberNorm)} | {"relative_noise"}
    found = norms(CPU)
    assert {norm.kind for norm in found.values()} == known - left_out
    assert tuple(found) == NETS
    assert {norm.p for norm in found.values() if isinstance(norm, LpNorm)} == {1, 2, "inf"}
    assert len(NETS) == 13
    assert len(NORMALISERS) == 11


@pytest.mark.parametrize("preset", which_norm.PRESETS)
def test_presets_can_be_trained(preset):
    """Everything that claims and pictures need is measured, and each normaliser fits the net."""
    config = which_norm.PRESETS[preset]
    groups = which_norm.groups(config)
    check_needs(config, groups, which_norm.KEEP)
    for run in groups["arms"].values():
        run.check_layers()
    assert preset == "smoke" or tuple(groups["arms"]) == NETS
    assert groups["arms"]["instance_norm"].norm.layers == config.convolutions
    others = {change(run, norm=NoNorm()) for run in groups["arms"].values()}
    assert len(others) == 1, "nets differ in their normaliser alone"


def test_dynamic_tanh_stands_in_a_net():
    """It is scale tanh(alpha x) + bias after every hidden layer, with alpha as the configuration has it."""
    module = DyT(alpha=0.25).make()()
    assert module == linen.DyT(alpha_init=0.25)
    x = jnp.array([[-1.0, 0.5]])
    variables = module.init(jax.random.key(0), x)
    np.testing.assert_allclose(module.apply(variables, x), np.tanh(0.25 * np.asarray(x)), rtol=1e-6)
    model = models.make_model(models.MLPConfig(hidden=(4, 3), norm=DyT(layers=(2,)).make(), norm_layers=(2,)))
    params = model.init(jax.random.key(0), jnp.ones((2, 5))).params
    assert set(params) == {"dense_1", "dense_2", "dense_3", "norm_2"}
    assert params["norm_2"]["alpha"] == 0.5


def test_drift_behind_normalisers_speaks_for_nothing():
    """What they set says nothing of distributions, nor beside smoothness; that and covariate shift speak for themselves."""
    sides = {(claim.hypothesis, claim.side(holds)) for claim in CLAIMS for holds in (True, False)}
    beside = next(claim for claim in CLAIMS if claim.name == "which_smooth_or_drift")
    assert beside.side(True) is beside.side(False) is None
    assert {side for hypothesis, side in sides if hypothesis == "distributions"} == {None}
    for hypothesis in ("smoothness", "covariate shift"):
        assert {(hypothesis, "for"), (hypothesis, "against")} <= sides


def test_claims_go_either_way():
    """Where the smooth nets are the good ones, and the steady ones are not, that is what is said; and the other way round."""
    found = verdicts(made(shift=0, drift=-0.05, active=-0.05))
    assert found["smooth"].values == (-1.0, -1.0, -1.0)
    assert found["smooth"].verdict == found["smooth_steps"].verdict == found["predictive"].verdict == "supported"
    assert found["smooth_normalisers"].verdict == "contradicted"
    assert found["shift"].verdict == "inconclusive"
    assert (found["drift"].verdict, found["drift_none"].verdict) == ("contradicted", "supported")
    assert found["drift_active"].verdict == found["smooth_or_drift"].verdict == "supported"
    found = verdicts(made(band=-0.05))
    assert found["effective"].verdict == "contradicted"
    # The net at chance decides this one.
    assert (found["smooth"].verdict, found["smooth"].values) == ("inconclusive", (1.0, 1.0, 1.0))
    assert found["shift"].verdict == found["drift"].verdict == found["mean"].verdict == "supported"
    assert found["shift_none"].verdict == found["smooth_or_shift"].verdict == "contradicted"
    assert found["smooth_late_steps"].reason == "needs 4,000 steps, ran 500"


def test_all_nets_are_needed():
    """A claim about all normalisers is not judged on some of them; pictures and tables show those that there are."""
    some = made(which_norm.PRESETS["smoke"].nets)
    assert judge(CLAIMS[0], some).reason == "these data have no runs of noisy batch"
    assert table.over_nets(some, "loss range", TEST) == -1
    assert "from with BN 58.5 % to dynamic tanh 36.5 %, and with" not in table.findings(
        made(("batch_norm", "l1", "dyt"))
    )
    assert_readable(figure.plot(some).draw())


def test_a_net_that_diverged_is_the_worst_of_all():
    """It guesses, on the roughest landscape, with the most shift and drift; it reaches no level."""
    data = made(diverged=("l1",), band=0, shift=0, drift=0, active=0)
    for name, compared in COMPARED.items():
        assert compared.of(data).of(data["arms"]["l1"][0]) == math.inf, name
    assert TEST.of(data["arms"]["l1"][0]) == 0.1
    # Of 13 nets all others are as good in what is compared: the worst is as far from their mean rank as it can be.
    ranks, first = np.arange(13.0), np.eye(13)[0]
    expected = np.corrcoef(ranks, first)[0, 1]
    assert [*ranked("drift", TEST).of(data).values()] == pytest.approx([expected] * 3)


def test_the_first_measurement_does_not_count():
    """At step 0 everything is 99 times as large in the data made by hand."""
    run: Any = net(3, 0, ORDERS)
    data = {"arms": {"plain": [run]}}
    assert {round(compared.of(data).of(run), 9) for compared in COMPARED.values()} == {4.0}


def test_what_a_data_file_keeps_is_enough():
    """Numbers and claims are the same before and after, to five digits."""
    data = made(drift=-0.05)
    kept = keep(data, {"arms": {name: how for name, how in which_norm.KEEP["arms"].items() if "drift" not in name}})
    for runs, before in zip(kept["arms"].values(), data["arms"].values(), strict=True):
        for run, own in zip(runs, before, strict=True):
            run |= {name: own[name] for name in ("drift", "drift_after_activation")}
    before = verdicts(data)
    for name, found in verdicts(kept).items():
        assert found.values == pytest.approx(before[name].values, nan_ok=True), name


@pytest.mark.slow
def test_words():
    """The tables have a row for each net, and of each correlation the range where one net is left out."""
    data = made(drift=-0.05, diverged=("dyt",))
    written = table.summarise(data)
    assert "dynamic tanh, seed 0: the loss stopped being finite at step 40." in written
    assert sum(line.startswith("group norm ") for line in written.splitlines()) == 2
    (line,) = [line for line in written.splitlines() if line.startswith("loss range ")]
    assert line.split()[2:9] == ["-1.00", "-1.00", "to", "-1.00", "-1.00", "to", "-1.00"]
    said = table.findings(made())
    assert "the highest and the lowest test accuracy are 60.5 % (without BN) and 36.5 % (dynamic tanh)." in said
    assert "gradient is -1.00, with covariate shift" in said


@pytest.mark.slow
@pytest.mark.parametrize(("name", "is_narrow"), [("", False), ("", True), ("steps", False)])
def test_every_net_is_named_in_the_picture(name, is_narrow):
    """Also one that diverged, at the edge; nets that do equally well have names beside each other's."""
    data = made(diverged=("dyt", "linf"), drift=-0.05)
    layout = figure.more(data)[name](data) if name else figure.plot(data)
    drawn = layout.draw(narrow=is_narrow)
    assert_readable(drawn)
    for axes in drawn.axes:
        assert len({text.get_text() for text in axes.texts if text.get_text()}) == len(NETS)
        low, high = axes.get_xlim()
        assert all(low < x < high for line in axes.lines for x in np.asarray(line.get_xdata(), float))


def test_names_stay_in_order_and_apart():
    """Also of points at the same place, and at both ends."""
    shares = [0.0, 0.5, 0.5, 0.5, 0.99, 1.0]
    placed = _apart(shares, gap=0.1)
    assert placed == sorted(placed)
    assert np.diff(placed).min() >= 0.1 - 1e-9
    assert placed[0] >= 0
    assert placed[-1] <= 1
    crowded = _apart([0.7] * 13)
    assert np.diff(crowded).min() > 0.06
    assert crowded[0] >= 0
    assert crowded[-1] <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nets": ()}, r"nets must be one or more different ones of plain, batch_norm, .*, dyt, got \(\)"),
        ({"nets": ("plain", "plain")}, "nets must be one or more different ones of"),
        ({"norm": NoNorm()}, "norm must be batch, of which the others take their settings, got none"),
        ({"ghost_size": 10}, "ghost_size must be a divisor of the batch size, 64, and smaller, got 10"),
        ({"ghost_size": 64}, "ghost_size must be a divisor of the batch size, 64, and smaller, got 64"),
        ({"group_size": 3}, "group_size must be a divisor of the features of each normalised layer, .*, got 3"),
        ({"norm": {"layers": (9,)}}, "norm.layers must be 'all' or numbers of which one is a convolution's, got"),
        ({"alpha": 0.0}, "alpha must be > 0 and finite, got 0"),
    ],
)
def test_misfits(changes, message):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        change(CPU, **changes)


def test_a_perceptron_takes_dynamic_tanh():
    """It follows any layer, and has no statistics that could be recalibrated."""
    run = MLPRun(norm=DyT())
    run.check_layers()
    assert not run.norm.is_recalibrated
