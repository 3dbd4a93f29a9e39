"""A batch that is spread over devices gives the training of one device."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from bnjax import data, linen, models, objective, probes, sweep, train
from bnjax._host.digest import digest
from bnjax._host.sharding import everywhere
from bnjax.runs import Checkpoints

pytestmark = pytest.mark.slow

NORM = partial(linen.BatchNorm, momentum=0.9)
NETS = {
    "mlp": models.MLPConfig(hidden=(16, 16), norm=NORM),
    "vgg": models.VGGConfig(width=1 / 16, norm=NORM),
}


@pytest.fixture(scope="module")
def split():
    """Digits, on one device."""
    return data.load("digits", image_size=8).train


def make_mesh():
    """Make the mesh of all devices that `jax.make_mesh` makes by default."""
    return jax.make_mesh((8,), ("batch",))


def make_trainer(net, mesh=None, **options):
    """Make what trains one of the nets, on batches of 32."""
    optimizer = train.make_optimizer("sgd", 0.05, momentum=0.9)
    return train.Trainer(models.make_model(NETS[net]), optimizer, **{"batch_size": 32, "mesh": mesh, **options})


def start(trainer, split):
    """Make a state at step 0."""
    return train.init_state(trainer, jax.random.key(0), jnp.zeros((1, *split.images.shape[1:])))


def flat(tree):
    """Join the numbers of a tree, as they are on the host."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def distance(ours, theirs):
    """Measure how far apart two trees are, as a share of the second one's length."""
    return np.linalg.norm(flat(ours) - flat(theirs)) / np.linalg.norm(flat(theirs))


@pytest.mark.parametrize("net", ["mlp", pytest.param("vgg", marks=pytest.mark.thorough)])
def test_eight_devices_train_as_one(net, split, compilations):
    """Losses, accuracies and the test are those of one device; all devices have the state; nothing is compiled twice."""
    found = []
    for trainer in (make_trainer(net, make_mesh()), make_trainer(net)):
        state, first = train.run_steps(trainer, start(trainer, split), split, num_steps=2)
        programs = compilations()
        state, second = train.run_steps(trainer, state, split, num_steps=2)
        assert compilations() == programs
        tested = train.evaluate(trainer, state.variables, split, batch_size=100)
        found.append((state, first.loss, second, tested))
    np.testing.assert_allclose(flat(found[0][1:]), flat(found[1][1:]), rtol=1e-5)
    for leaf in jax.tree.leaves(found[0]):
        assert leaf.sharding.is_fully_replicated
        assert len(leaf.sharding.device_set) == 8


@pytest.mark.parametrize("net", ["mlp", pytest.param("vgg", marks=pytest.mark.thorough)])
def test_only_rounding_differs(net, split, x64):
    """In float64, where no ReLU falls on the other side by rounding, the states are the same to 1e-12."""
    found = []
    for trainer in (make_trainer(net, make_mesh()), make_trainer(net)):
        state = start(trainer, split)
        params, opt_state = optax.tree.cast((state.params, state.opt_state), jnp.float64)
        state = state.replace(params=params, opt_state=opt_state)
        found.append(train.run_steps(trainer, state, split, num_steps=4))
    (ours, losses), (theirs, expected) = found
    assert distance(ours.params, theirs.params) < 1e-12
    assert distance(losses, expected) < 1e-12
    assert distance(ours.batch_stats, theirs.batch_stats) < 1e-6  # in float32


def test_each_device_does_its_share(split):
    """A device does about an eighth of the work of a step, and a probe's batch is spread too."""

    def work(trainer):
        state = start(trainer, split)
        batch = train.current_batch(trainer, state, split)
        step = jax.jit(train.train_step, static_argnums=0).lower(trainer, state, batch).compile()
        return step.cost_analysis()["flops"], batch.inputs.sharding.shard_shape(batch.inputs.shape)

    (share, shape), (whole, _) = work(make_trainer("mlp", make_mesh())), work(make_trainer("mlp"))
    assert share < 0.25 * whole
    assert shape == (4, 8, 8, 1)


@pytest.mark.thorough
def test_the_data_may_be_spread_too(split):
    """A data set that is spread over the devices is trained on alike: they exchange what a batch needs."""
    trainer = make_trainer("mlp", make_mesh())
    shares = NamedSharding(Mesh(jax.devices(), ("batch",)), P("batch"))
    num = len(split.labels) // 8 * 8
    whole = split._replace(images=split.images[:num], labels=split.labels[:num])
    spread = whole._replace(images=jax.device_put(whole.images, shares), labels=jax.device_put(whole.labels, shares))
    found = [
        train.run_steps(trainer, start(trainer, split), each, num_steps=4)[1].loss
        for each in (everywhere(whole, trainer.mesh), spread)
    ]
    np.testing.assert_allclose(*found, rtol=1e-6)


@pytest.mark.thorough
def test_a_scan_of_a_spread_batch(split):
    """A probe of the next batch sees the loss of one device."""
    found = []
    for trainer in (make_trainer("mlp", make_mesh()), make_trainer("mlp")):
        state = start(trainer, split)
        batch = train.current_batch(trainer, state, split)
        loss_fn = objective.make_loss_fn(trainer.model, state.batch_stats, batch)
        found.append(probes.scan_line(loss_fn, state.params, step_sizes=(0.1, 1.0)))
    for name in ("loss", "gradient_distance"):
        np.testing.assert_allclose(*(getattr(scan, name) for scan in found), rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 30}, "batch_size must be a multiple of the 8 devices that share it, got 30"),
        ({"axis": "runs"}, "axis must be one of the mesh's, batch, got 'runs'"),
    ],
)
def test_a_batch_that_cannot_be_spread(options, message, split, as_a_user):
    """One line names what is wrong."""
    trainer = make_trainer("mlp", make_mesh(), **options)
    with pytest.raises(ValueError, match=message):
        train.run_steps(trainer, start(trainer, split), split, num_steps=1)
    with (
        jax.set_mesh(make_mesh()),
        pytest.raises(ValueError, match="axis must be an axis of the surrounding mesh of type"),
    ):
        train.current_batch(make_trainer("mlp", make_mesh()), start(make_trainer("mlp"), split), split)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("net", "batching"),
    [("mlp", "map"), *(pytest.param(*case, marks=pytest.mark.thorough) for case in (("mlp", "vmap"), ("vgg", "map")))],
)
def test_runs_over_one_axis_and_their_batches_over_another(net, batching, split):
    """Four runs on two by four devices, each batch over four, take the steps of four runs on one."""
    both = jax.make_mesh((2, 4), ("runs", "batch"), axis_types=(AxisType.Auto,) * 2)
    runs = [{"seed": seed, "learning_rate": rate} for seed, rate in enumerate((0.1, 0.05, 0.02, 0.01))]
    found = []
    for mesh in (both, None):

        def make(learning_rate, mesh=mesh):
            return make_trainer(net, mesh)._replace(optimizer=train.make_optimizer("sgd", learning_rate))

        (program,) = sweep.programs(make, runs)
        states = sweep.init_states(program, jnp.zeros((1, *split.images.shape[1:])))
        way = sweep.Way(batching, mesh)
        states, metrics = sweep.run_steps(program, states, split, num_steps=2, way=way)
        tested = sweep.evaluate(program, states, split, way=way)
        found.append((metrics.loss, tested.loss))
        devices = metrics.loss.sharding.device_set
    assert len(devices) == 1
    np.testing.assert_allclose(flat(found[0]), flat(found[1]), rtol=1e-4)


@pytest.mark.parametrize(("first", "second"), [(8, 1), (1, 8), pytest.param(8, 2, marks=pytest.mark.thorough)])
def test_a_checkpoint_goes_on_with_another_number_of_devices(first, second, split, tmp_path):
    """A state that so many devices have saved is restored by others to the same bits, on all of theirs, and trains on."""
    meshes = {1: None, 2: Mesh(np.array(jax.devices()[:2]), ("batch",)), 8: make_mesh()}
    before, after = (make_trainer("mlp", meshes[num]) for num in (first, second))
    state, _ = train.run_steps(before, start(before, split), split, num_steps=2)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, state)
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(start(after, split))
    assert digest(restored.state) == digest(state)
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(restored.state)} == {second}
    losses = [train.run_steps(t, s, split, num_steps=2)[1].loss for t, s in ((after, restored.state), (before, state))]
    np.testing.assert_allclose(*losses, rtol=1e-5)
