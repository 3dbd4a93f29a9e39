"""One of several processes that train together: `python two_processes.py FOLDER PORT NUM_PROCESSES PROCESS_ID`."""

import itertools
import json
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental.multihost_utils import process_allgather
from jax.sharding import Mesh

from bnjax import data, linen, models, objective, probes, sweep, train
from bnjax._host import bounds, groups
from bnjax._host.digest import digest
from bnjax.runs import Checkpoints
from bnjax.sweep.steps import settle_way


def make_trainer(mesh):
    """Make what trains a small net on batches of 32."""
    config = models.MLPConfig(hidden=(16, 16), norm=partial(linen.BatchNorm, momentum=0.9))
    return train.Trainer(models.make_model(config), train.make_optimizer("sgd", 0.1), batch_size=32, mesh=mesh)


def set_clock(process_id):
    """Set clocks by which the processes would choose otherwise: one's calls get slower, the other's faster."""
    seconds = itertools.accumulate((i if process_id == 0 else 1 / i) for i in itertools.count(1))
    groups.clock = lambda: next(seconds)


def scan_measured(trainer, state, split, process_id):
    """Scan the loss of a batch that both share, by clocks that would choose otherwise."""
    set_clock(process_id)
    batch = train.current_batch(trainer, state, split)
    loss_fn = objective.make_loss_fn(trainer.model, state.batch_stats, batch)
    return probes.scan_line(loss_fn, state.params, step_sizes=np.linspace(0, 0.1, 96), batching="measured")


def make_sweep():
    """Make sixteen runs of a small net, their states, and their data."""
    model = models.make_model(models.MLPConfig(hidden=(16,)))
    trainer = train.Trainer(model, train.make_optimizer("sgd", 0.1), batch_size=32)
    (program,) = sweep.programs(lambda: trainer, sweep.grid(seed=range(16)))
    split = data.load("digits", image_size=8).train
    return program, sweep.init_states(program, jnp.zeros((1, *split.images.shape[1:]))), split


def train_measured(process_id):
    """Choose how many runs train together on the devices of both, by clocks that would choose otherwise, and train them."""
    set_clock(process_id)
    program, states, split = make_sweep()
    mesh = Mesh(np.array(jax.devices()), ("runs",))
    way = settle_way(program, states, split, own_split=False, way=sweep.Way("measured", mesh))
    losses = []
    for _ in range(2):
        states, metrics = sweep.run_steps(program, states, split, num_steps=2, way=way)
        losses.append(process_allgather(metrics.loss, tiled=True))
    return way.batching, np.concatenate(losses, axis=1).tolist()


def say_why_no_more_fit(state, process_id):
    """Scan with plenty of free memory in the first process and none in the second, which decides."""
    bounds.free_memory = lambda _: (1e9, 0.0)[process_id]
    loss_fn = jax.tree_util.Partial(optax.tree.norm)
    probes.scan_line(loss_fn, state.params, step_sizes=np.linspace(0, 0.1, 96), batching="measured")
    return probes.measured_batching()[-1].reason


def main(folder, port, num_processes, process_id):
    """Train, save, train on; restore, train on again."""
    if num_processes > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", num_processes, process_id)
    trainer = make_trainer(Mesh(np.array(jax.devices()), ("batch",)))
    split = data.load("digits", image_size=8).train
    inputs = jnp.zeros((1, *split.images.shape[1:]))
    state, before = train.run_steps(trainer, train.init_state(trainer, jax.random.key(0), inputs), split, num_steps=3)
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(3, state, {"log_bytes": 7})
    saved = digest(state)
    state, after = train.run_steps(trainer, state, split, num_steps=3)
    with Checkpoints(folder) as checkpoints:
        restored = checkpoints.restore(train.init_state(trainer, jax.random.key(1), inputs))
    again, _ = train.run_steps(trainer, restored.state, split, num_steps=3)
    tested = train.evaluate(trainer, again.variables, split)
    scan = scan_measured(trainer, again, split, process_id)
    record = {
        "devices": len(jax.devices()),
        "loss": [*before.loss.tolist(), *after.loss.tolist(), float(tested.loss)],
        "same": [digest(again) == digest(state), restored.step == 3, restored.meta == {"log_bytes": 7}],
        "saved": saved,
        "scan": [float(scan.start_loss), *scan.loss.tolist()],
        "batching": [*probes.measured_batching()[0].milliseconds, probes.measured_batching()[0].batching],
        "sweep": train_measured(process_id),
        "reason": say_why_no_more_fit(again, process_id),
    }
    Path(folder, f"process{process_id}.json").write_text(json.dumps(record))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
