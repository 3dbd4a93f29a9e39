"""What an experiment needs is checked before it trains: it is refused in a line, or comes to its end; nothing is trained."""

from contextlib import nullcontext
from dataclasses import fields

import pytest
from faked import data_of, nets_of

from bnjax.runs import config_dict
from experiments._command import catalogue, costs, pictures
from experiments._config import runs_of
from experiments._config.probes import CHOICES
from experiments._evidence.keep import IfMeasured, check_needs
from experiments._evidence.verdict import judge
from experiments._training.errors import ConfigError

NAMES = catalogue.names()
NORMS = ("none", "lp", "huber", "noise")
OWN_WAY = ("theory_bounds", "initialisation", "scale_invariance", "shuffling")  # which measure in their own way


def flag(prefix, name):
    """Write a flag."""
    return f"--{prefix}{name}".replace("_", "-")


def of_a_run(prefix, run):
    """List what may be said of a run: fewer and other probes, normalisers, layers, steps and seeds."""
    schedule, kinds = (
        (flag(prefix, f"schedule.{name}") for name in ("num-steps", "probe-every", "eval-every")),
        run.probes.kinds,
    )
    steps, probe_every, eval_every = schedule
    chosen = [(), *((kind,) for kind in CHOICES), *(tuple(k for k in kinds if k != kind) for kind in kinds)]
    yield from ((flag(prefix, "probes"), *some) for some in dict.fromkeys(chosen))
    yield from ((flag(prefix, "norm"), kind) for kind in NORMS)
    yield flag(prefix, "norm.layers"), "1"
    yield from ((steps, number, probe_every, "1", eval_every, "1") for number in ("1", "2", "5"))
    yield probe_every, "400", eval_every, "400"
    yield flag(prefix, "seeds"), "5"
    yield flag(prefix, "schedule.recalibrated-tests"), "True"
    for probe in run.probes:
        named = {"step_multiples": ("1",), "layers": ("1",), "units": ("1",), "of": ("activations",)}
        own = {field.name for field in fields(probe)} & {*named}
        yield from ((flag(prefix, f"probes.{probe.kind}.{name}"), *named[name]) for name in sorted(own))
    if "hidden" in config_dict(run.model):
        yield flag(prefix, "model.hidden"), "4"


def settings(name):
    """List the arguments with which an experiment is tried."""
    config = catalogue.module(name).PRESETS["smoke"]
    yield ()
    for prefix, run in runs_of(config):
        yield from of_a_run(prefix, run)
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, tuple) and field.name != "seeds":
            first = value[0] if isinstance(value[0], tuple) else value[:1]
            yield from ((flag("", field.name), *map(str, some)) for some in ((), first))


def use(name, data):
    """Make everything of an experiment's data but the figure."""
    table = catalogue.part(name, "table")
    assert table.summarise(data)
    assert getattr(table, "findings", table.summarise)(data)
    for claim in catalogue.claims_of(name):
        judge(claim, data)


def refusal(name, *arguments):
    """Return why an experiment is refused, if it is."""
    try:
        nets_of(name, *arguments)
    except (ConfigError, ValueError) as error:
        return str(error)
    return ""


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("name", NAMES)
def test_what_an_experiment_needs_is_checked_before_it_trains(name):
    """Fewer probes, another normaliser, one layer, few steps or one seed: there are nets, or a line names the flag."""
    known = costs.flatten(config_dict(catalogue.module(name).PRESETS["smoke"]))
    for arguments in settings(name):
        problem = refusal(name, *arguments)
        if problem:
            field, _, rule = problem.partition(" must be ")
            given = arguments[0].removeprefix("--").replace("-", "_")
            assert f"{field}.".startswith(f"{given}.") or any(f"{each}.".startswith(f"{field}.") for each in known), (
                problem
            )
            assert rule.endswith(".")
            assert "\n" not in rule


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:Attempt")  # of matplotlib, where all values of a panel are one
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.xdist_group(f"needs-{name}")) for name in NAMES])
def test_what_is_not_refused_comes_to_an_end(name):
    """Whatever was measured, there are table, findings, claims and figure."""
    for arguments in settings(name):
        if not refusal(name, *arguments):
            data = data_of(name, *arguments)
            use(name, data)
            layouts = pictures.lay_out(catalogue.module(name), data)
            assert "" in layouts  # the first picture
            for layout in layouts.values():
                for narrow in (False, True):
                    layout.draw(narrow=narrow).draw_without_rendering()


@pytest.mark.slow
@pytest.mark.parametrize("diverged_at", [None, 0, 7])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.thorough if name in OWN_WAY else ()) for name in NAMES]
)
def test_runs_that_diverge_come_to_an_end_too(name, diverged_at):
    """At the first step, later, or not at all."""
    use(name, data_of(name, diverged_at=diverged_at))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OWN_WAY])
def test_every_kind_that_is_kept_is_needed(name):
    """Without one of them, no run of the configuration is accepted, unless `KEEP` says that it need not be there."""
    module = catalogue.module(name)
    config, kept = module.PRESETS["smoke"], module.KEEP
    for group, arms in module.groups(config).items():
        kinds = {} if isinstance(kept[group], IfMeasured) else getattr(kept[group], "kept", kept[group])
        for kind, how in kinds.items():
            for net in arms if kind != "train" else ():
                measured = how[0] if isinstance(how, tuple) else kind
                lacking = [other for other in arms[net].probes.kinds if other != measured]
                changed = {**module.groups(config), group: {**arms, net: arms[net].measuring(*lacking)}}
                with (
                    nullcontext()
                    if isinstance(how, IfMeasured)
                    else pytest.raises(ValueError, match=r"probes must be at")
                ):
                    check_needs(config, changed, kept)
    with pytest.raises(ValueError, match=r"^(arms|grid) must be one or more nets|^(ioffe|small) must be"):
        check_needs(config, {}, kept)
