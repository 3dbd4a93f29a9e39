"""The training of every experiment: all arms and seeds, side by side or together.

A run lies in a folder named after what determines it, `<kind>-<hash>/seed<n>`: experiments that need the same run share it.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from bnjax import sweep, train
from bnjax.runs import run_folder
from experiments._config import Options, RunConfig, change
from experiments._training.errors import config_errors
from experiments._training.evaluation import evaluate
from experiments._training.log import join_records, read_record, read_run
from experiments._training.probes import Probe
from experiments._training.tasks import Task, make_task
from experiments._training.train import shared_mesh
from experiments._training.train import train as train_groups

Arms = Mapping[str, RunConfig]


class _Net(NamedTuple):
    """A net of an experiment, trained from one seed, and where."""

    config: RunConfig
    task: Task
    seed: int
    label: str
    folder: Path


def train_all(groups: dict[str, Arms], options: Options) -> dict[str, Any]:
    """Train every arm and seed of each group, or continue where they were left.

    Args:
        groups: configurations by name of the group and of the arm.
        options: where results and data are.

    Returns:
        {group: {arm: [curves of each seed]}, "provenance": of every command that trained, "seconds": that they took}.

    Raises:
        ConfigError: if a configuration cannot be run.
        MissingDataError: if a data set is not prepared.
        Interrupted: after a signal, once the state is saved.
        SaveError: if the last save of a run has failed.
        Elsewhere: in all but the first of several processes, once everything is trained.
    """
    nets = _list_nets(groups, options)
    different = {net.folder: net for net in nets.values()}
    train_groups([_make_group(same) for same in _by_program(different.values())], options)

    def read(net: _Net) -> dict[str, Any]:
        return {"seed": net.seed, **read_run(net.folder, net.task.probes, net.task.loss_scale)}

    found = {
        group: {arm: [read(nets[group, arm, seed]) for seed in config.seeds] for arm, config in arms.items()}
        for group, arms in groups.items()
    }
    return {**found, **join_records([read_record(folder) for folder in different])}


def _list_nets(groups: dict[str, Arms], options: Options) -> dict[tuple[str, str, int], _Net]:
    """List the nets of an experiment by group, arm and seed; those that need a folder get one once all are accepted."""
    with config_errors():
        tasks = {
            (group, arm): make_task(config.identity(), options.data_dir, shared_mesh(options))
            for group, arms in groups.items()
            for arm, config in arms.items()
        }
        nets = {}
        for (group, arm), task in tasks.items():
            config = groups[group][arm]
            for seed in config.seeds:
                folder = run_folder(options.results, config.kind, config.identity()) / f"seed{seed}"
                label = f"{arm.replace('_', ' ')}, seed {seed}"
                nets[group, arm, seed] = _Net(config, task, seed, label, folder)
    return nets


def _by_program(nets: Iterable[_Net]) -> list[list[_Net]]:
    """Group nets that differ in seed and learning rate alone: one program trains them."""
    groups: dict[RunConfig, list[_Net]] = {}
    for net in nets:
        groups.setdefault(change(net.config.identity(), optimizer={"learning_rate": 1.0}), []).append(net)
    return [*groups.values()]


def _make_group(nets: list[_Net]) -> sweep.Group:
    """Make the group of nets that one program trains; a learning rate is part of a state."""
    config, task = nets[0].config, nets[0].task
    schedule = config.schedule
    keys = jax.vmap(jax.random.key)(np.array([net.seed for net in nets], np.uint32))
    program = sweep.Program(tuple(range(len(nets))), _Same(task.stepper), {}, keys)
    plan = sweep.make_plan(schedule.num_steps, schedule.probe_every, schedule.eval_every)
    return sweep.Group(program, plan, [_make_member(net) for net in nets], task.own_data, task.loss_scale)


def _make_member(net: _Net) -> sweep.Member:
    """Make the member of a group that a net is."""
    config, task = net.config, net.task

    def start(inputs: Array) -> train.TrainState:
        return train.init_state(task.trainer, jax.random.key(net.seed), inputs)

    def test(trainer: train.Trainer, state: train.TrainState, dataset: Any) -> dict[str, float]:
        return evaluate(config, trainer, state, dataset)

    probes = {name: _host_probe(probe) for name, probe in task.probes.items()}
    tests = {"test": sweep.HostProbe(test, split=None)}
    name = "/".join(net.folder.parts[-2:])  # wherever the folder lies
    return sweep.Member(net.label, name, net.folder, partial(task.load, net.seed), start, probes, tests)


def _host_probe(probe: Probe) -> sweep.HostProbe:
    """Pass a probe on, which knows its trainer."""
    return sweep.HostProbe(lambda _trainer, state, split: probe.measure(state, split), probe.split)


class _Same(NamedTuple):
    """Makes a trainer that is already there; equal for equal trainers, so that compiled programs are found again."""

    trainer: train.Trainer

    def __call__(self) -> train.Trainer:
        return self.trainer
