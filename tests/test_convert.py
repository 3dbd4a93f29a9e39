"""Checkpoints of other frameworks: by their layouts, and against the frameworks where these are installed."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bnjax import convert
from bnjax.linen import BatchNorm
from bnjax.types import Variables

RNG = np.random.default_rng(0)


def assert_same(actual, expected):
    """Compare trees of arrays to the bit, with their types and structure."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, a), b in zip(jax.tree.leaves_with_path(actual), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype, path
        np.testing.assert_array_equal(a, b, err_msg=jax.tree_util.keystr(path))


def draw(*shape, dtype=np.float32):
    """Draw an array, another one each time."""
    return RNG.uniform(0.1, 1, shape).astype(dtype)


def torch_arrays(dtype=np.float32):
    """Make a state_dict with every kind of module, and the sizes of what is flattened."""
    state_dict = {
        "body.0.weight": draw(4, 3, 3, 2, dtype=dtype),
        "body.0.bias": draw(4, dtype=dtype),
        "body.1.weight": draw(4, dtype=dtype),
        "body.1.bias": draw(4, dtype=dtype),
        "body.1.running_mean": draw(4, dtype=dtype),
        "body.1.running_var": draw(4, dtype=dtype),
        "body.1.num_batches_tracked": np.array(7),
        "plain.running_mean": draw(4, dtype=dtype),
        "plain.running_var": draw(4, dtype=dtype),
        "plain.num_batches_tracked": np.array(7),
        "flat_norm.weight": draw(24, dtype=dtype),
        "flat_norm.bias": draw(24, dtype=dtype),
        "conv1d.weight": draw(4, 1, 3, dtype=dtype),
        "conv3d.weight": draw(4, 2, 3, 1, 2, dtype=dtype),
        "table.weight": draw(9, 5, dtype=dtype),
        "head.weight": draw(10, 24, dtype=dtype),
        "head.bias": draw(10, dtype=dtype),
    }
    return state_dict, {"flat_norm": (4, 2, 3), "head": (4, 2, 3)}


def test_torch_layouts():
    """Every kind of module comes out with Flax's names, axes and order of features."""
    arrays, flattened = torch_arrays()
    params, stats = convert.from_torch(arrays, flattened=flattened, embeddings=["table"])
    np.testing.assert_array_equal(params["body"]["0"]["kernel"][2, 1, 0, 3], arrays["body.0.weight"][3, 0, 2, 1])
    assert params["conv1d"]["kernel"].shape == (3, 1, 4)
    assert params["conv3d"]["kernel"].shape == (3, 1, 2, 2, 4)
    np.testing.assert_array_equal(params["table"]["embedding"], arrays["table.weight"])
    for leaf, name in {"mean": "running_mean", "var": "running_var"}.items():
        np.testing.assert_array_equal(stats["body"]["1"][leaf], arrays[f"body.1.{name}"])
        np.testing.assert_array_equal(stats["plain"][leaf], arrays[f"plain.{name}"])
    np.testing.assert_array_equal(params["body"]["1"]["scale"], arrays["body.1.weight"])
    np.testing.assert_array_equal(params["body"]["1"]["bias"], arrays["body.1.bias"])
    assert "plain" not in params
    assert "flat_norm" not in stats
    feature_map = draw(4, 2, 3)
    there = arrays["head.weight"] @ (arrays["flat_norm.weight"] * feature_map.reshape(-1))
    here = (params["flat_norm"]["scale"] * feature_map.transpose(1, 2, 0).reshape(-1)) @ params["head"]["kernel"]
    np.testing.assert_allclose(here, there, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, jnp.bfloat16])
def test_torch_round_trip(dtype):
    """There and back changes no bit and no type, and the count of batches is what one says."""
    arrays, flattened = torch_arrays(dtype)
    variables = convert.from_torch(arrays, flattened=flattened, embeddings=["table"])
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(dtype)}
    state_dict = convert.to_torch(variables, flattened=flattened, num_batches_tracked=7)
    assert_same(state_dict, arrays)
    assert all(array.flags.c_contiguous and array.flags.writeable for array in state_dict.values())


def test_variables_do_not_share_memory():
    """Neither side sees what the other writes later."""
    arrays, _ = torch_arrays()
    variables = convert.from_torch(arrays)
    before = np.array(variables.batch_stats["plain"]["mean"])
    arrays["plain.running_mean"] += 1
    np.testing.assert_array_equal(variables.batch_stats["plain"]["mean"], before)
    convert.to_torch(variables)["plain.running_mean"] += 1
    np.testing.assert_array_equal(variables.batch_stats["plain"]["mean"], before)


def test_float64(x64):
    """Double precision is kept where JAX has it."""
    variables = convert.from_torch({"weight": draw(3, 2, dtype=np.float64)})
    assert variables.params["kernel"].dtype == np.float64


KERAS = {
    "net/conv/kernel": draw(3, 3, 3, 4),
    "net/conv/bias": draw(4),
    "net/norm/gamma": draw(4),
    "net/norm/beta": draw(4),
    "net/norm/moving_mean": draw(4),
    "net/norm/moving_variance": draw(4),
    "net/depth/kernel": draw(3, 3, 4, 2),
    "net/depth/bias": draw(8),
    "net/centre/beta": draw(8),
    "net/table/embeddings": draw(7, 5),
}


def test_keras_round_trip():
    """There and back changes no bit, by default paths and by given ones."""
    depthwise = {"net/depth": 2}
    layers = ("conv", "norm", "depth", "centre", "table")
    for names in (None, {f"net/{layer}": f"{layer}_0" for layer in layers}):
        variables = convert.from_keras(KERAS, names=names, depthwise=depthwise)
        assert_same(convert.to_keras(variables, names=names, depthwise=depthwise), KERAS)
    norm = variables.params["norm_0"] | variables.batch_stats["norm_0"]
    for leaf, name in {"scale": "gamma", "bias": "beta", "mean": "moving_mean", "var": "moving_variance"}.items():
        np.testing.assert_array_equal(norm[leaf], KERAS[f"net/norm/{name}"])
    np.testing.assert_array_equal(
        variables.params["depth_0"]["kernel"][1, 2, 0, 5], KERAS["net/depth/kernel"][1, 2, 2, 1]
    )


def haiku_trees(counter=3):
    """Make parameters and state as Haiku does, after `counter` batches with decay 0.9."""
    average = {"norm/~/mean_ema": draw(1, 1, 1, 4), "norm/~/var_ema": 2 * draw(1, 1, 1, 4)}
    params = {
        "net/~/conv": {"w": draw(3, 3, 3, 4), "b": draw(4)},
        "norm": {"scale": draw(1, 1, 1, 4), "offset": draw(1, 1, 1, 4)},
    }
    state = {
        name: {"average": a, "hidden": a * np.float32(1 - 0.9**counter), "counter": np.int32(counter)}
        for name, a in average.items()
    }
    return params, state


def test_haiku_round_trip():
    """Averages come through to the bit in Haiku's shapes; hidden fits the counter for any decay below 1."""
    params, state = haiku_trees()
    variables = convert.from_haiku(params, state)
    for leaf in ("mean", "var"):
        average = state[f"norm/~/{leaf}_ema"]["average"]
        np.testing.assert_array_equal(variables.batch_stats["norm"][leaf], average.reshape(-1))
    np.testing.assert_array_equal(variables.params["norm"]["bias"], params["norm"]["offset"].reshape(-1))
    assert variables.params["net"]["conv"]["kernel"].shape == (3, 3, 3, 4)
    back_params, back_state = convert.to_haiku(variables, params, haiku_trees(counter=0)[1])
    jax.tree.map(np.testing.assert_array_equal, back_params, params)
    for name, ema in back_state.items():
        np.testing.assert_array_equal(ema["average"], state[name]["average"])
        debias = 1 - jnp.power(np.nextafter(np.float32(1), np.float32(0)), ema["counter"])
        np.testing.assert_array_equal(ema["hidden"] / debias, ema["average"])


@partial(jax.tree_util.register_dataclass, data_fields=["weight", "bias", "gain"], meta_fields=["in_features"])
@dataclass
class Dense:
    """What convert reads of an Equinox dense layer, and a parameter that it knows nothing of."""

    weight: Any
    bias: Any = None
    in_features: int = 0
    gain: Any = None


@partial(jax.tree_util.register_dataclass, data_fields=["weight"], meta_fields=[])
@dataclass
class Norm:
    """What convert reads of an Equinox batch norm in the mode "batch"."""

    weight: Any
    momentum = 0.9
    batch_state_index = "statistics"
    batch_counter = "counter"


@jax.tree_util.register_dataclass
@dataclass
class State:
    """What convert uses of Equinox's state."""

    values: dict[str, Any]

    def get(self, index):
        """Look up."""
        return self.values[index]

    def set(self, index, value):
        """Return a state with another value, and spend this one."""
        values, self.values = self.values, {}
        return State(values | {index: value})


@pytest.mark.parametrize("num_batches", [0, 1, 7])
def test_equinox_statistics_are_debiased(num_batches):
    """What is stored began at 0 and 1 and is divided out; what is stored on the way back is divided by 1."""
    mean, var, kept = draw(4), draw(4), np.float32(0.9) ** num_batches
    counter, divisor = jnp.int32(num_batches), 1 - kept if num_batches else 1
    state = State({"statistics": ((1 - kept) * mean, kept + (1 - kept) * var), "counter": counter})
    variables = convert.from_equinox(Norm(scale := draw(4)), state)
    np.testing.assert_allclose(variables.batch_stats["mean"], (1 - kept) * mean / divisor, rtol=1e-5)
    np.testing.assert_allclose(variables.batch_stats["var"], (kept + (1 - kept) * var) / divisor, rtol=1e-5)
    back, written = convert.to_equinox(variables, Norm(np.zeros(4, np.float32)), state)
    assert_same(back.weight, jnp.array(scale))
    assert_same(written.get("statistics"), tuple(variables.batch_stats.values()))
    assert_same(convert.from_equinox(back, written), variables)
    assert state.get("counter") == num_batches


def test_equinox_layouts_by_their_attributes():
    """Layers are found by their attributes in any pytree, and the way back keeps the template's shapes and the rest."""
    model = {"head": [Dense(draw(5, 6), draw(5, 1, 1), 6), jnp.tanh]}
    variables = convert.from_equinox(model, flattened={"head.0": (3, 2)})
    kernel = variables.params["head"]["0"]["kernel"]
    np.testing.assert_array_equal(kernel.reshape(2, 3, 5), model["head"][0].weight.T.reshape(3, 2, 5).swapaxes(0, 1))
    back, state = convert.to_equinox(variables, model, flattened={"head.0": (3, 2)})
    assert state is None
    assert back["head"][1] is jnp.tanh
    np.testing.assert_array_equal(back["head"][0].weight, model["head"][0].weight)
    np.testing.assert_array_equal(back["head"][0].bias, model["head"][0].bias)


DENSE = {"weight": draw(3, 2), "bias": draw(3)}
TWO = {"a.weight": draw(3, 2), "b.weight": draw(2, 3)}
MODULE = SimpleNamespace(marker="index", init=None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: convert.from_torch({"a.weight_g": draw(2)}), "Arrays must be among .* got 'a.weight_g'"),
        (lambda: convert.from_torch({"weight": draw(2, dtype=np.float64)}), "^scale must have a type .* got float64"),
        (lambda: convert.from_torch({"weight": {}}), "weight must be an array that NumPy reads, got dict"),
        (lambda: convert.from_torch(TWO, names={"a": "a"}), "names must be complete, got nothing for 'b'"),
        (lambda: convert.from_torch(TWO, names={"c": "a"}), "names must be of modules that exist, got 'c'"),
        (lambda: convert.from_torch(TWO, names={"a": "x", "b": "x"}), "different layers, got 'x' for 'a'"),
        (lambda: convert.from_torch(TWO, names={"a": "x", "b": "x/kernel"}), "where another has an array"),
        (lambda: convert.from_torch(TWO, names={"a": "x/kernel", "b": "x"}), "where another has an array"),
        (lambda: convert.from_torch(TWO, flattened={"c": (1, 1, 2)}), "flattened must be of modules .* got 'c'"),
        (lambda: convert.from_torch(TWO, flattened={"a": (1, 1, 3)}), "flattened must give sizes .* 'a', got"),
        (lambda: convert.from_torch(TWO, embeddings=["c"]), "embeddings must be of modules that exist, got 'c'"),
        (lambda: convert.to_torch(convert.from_torch(TWO), names={"a": "a"}), "got nothing for 'b'"),
        (lambda: convert.to_torch(convert.from_torch(TWO), names={"a": "a", "c": "a"}), "got 'a' for 'a'"),
        (
            lambda: convert.to_torch(Variables({"a": {"slope": jnp.ones(1)}}, {})),
            "variables must hold .* got 'a/slope'",
        ),
        (lambda: convert.to_torch(Variables({"kernel": jnp.ones(1), "scale": jnp.ones(1)}, {})), "one of"),
        (lambda: convert.from_keras({"a/pointwise_kernel": draw(2)}), "got 'a/pointwise_kernel'"),
        (lambda: convert.from_keras(KERAS, depthwise={"net/depth": 3}), "depthwise must give .* 2, got 3"),
        (lambda: convert.to_keras(convert.from_keras(KERAS), depthwise={"net/conv": 3}), "multiplier of 'net/conv'"),
        (lambda: convert.from_haiku({"a": {"u": draw(2)}}, {}), "got 'a/u'"),
        (lambda: convert.from_haiku({"a": {"scale": draw(2, 3)}}, {}), "a/scale must vary along the channels"),
        (lambda: convert.from_haiku({}, {"a/~/ema": {}}), "got 'a/~/ema'"),
        (lambda: convert.from_haiku({"a/~/b": {}, "a/b": {}}, {}), "different layers, got 'a/b'"),
        (lambda: convert.to_haiku(convert.from_torch(DENSE), *haiku_trees()), "variables must fit the template"),
        (lambda: convert.to_equinox(convert.from_torch(DENSE), Dense(draw(3, 4), draw(3), 4)), "fit the template"),
        (lambda: convert.from_equinox({"a": draw(2)}), "Arrays must be a layer's .* got 'a'"),
        (lambda: convert.from_equinox({"a": MODULE}), "Arrays must be a layer's .* got 'a'"),
        (lambda: convert.from_equinox({"a": Dense(draw(2, 2), None, 2, draw(2))}), "Arrays .* got 'a.gain'"),
        (lambda: convert.from_equinox(Norm(draw(2))), "state must be given for a model with batch norms"),
        (lambda: convert.from_equinox({"a": Dense(draw(2, 2, 2), None, 2)}), "a.weight must have 2 axes"),
    ],
)
def test_nothing_is_lost_in_silence(call, message):
    """What cannot be converted, or is named wrongly, is told in one line with its name."""
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


# Against the frameworks themselves, where they are installed.

X = np.asarray(2 * jax.random.normal(jax.random.key(0), (16, 6, 5, 3)) + 1)
FLAT = (4, 4, 3)  # channels, height and width that the dense layer below takes
EPSILON = 1e-3
MOMENTUM = 0.9


class Net(nn.Module):
    """A convolution, a batch norm and a dense layer: what every framework has."""

    @nn.compact
    def __call__(self, x, *, train=False):
        """Compute 5 outputs."""
        x = nn.Conv(4, (3, 3), padding="VALID", name="conv")(x)
        x = BatchNorm(use_running_average=not train, momentum=MOMENTUM, epsilon=EPSILON, name="norm")(x)
        return nn.Dense(5, name="dense")(nn.relu(x).reshape(x.shape[0], -1))


def random_variables():
    """Draw variables of Net in which no two entries are alike, with positive variances."""
    shapes = jax.eval_shape(Net().init, jax.random.key(0), X)
    tree = jax.tree.map(lambda leaf: jnp.array(draw(*leaf.shape)), shapes)
    return Variables(tree["params"], tree["batch_stats"])


def as_collections(variables):
    """Name variables as Flax does."""
    return {"params": variables.params, "batch_stats": variables.batch_stats}


class Foreign(NamedTuple):
    """Net in another framework, as functions of its own checkpoint."""

    init: Callable[[], Any]  # -> checkpoint
    evaluate: Callable[[Any], Any]  # checkpoint -> outputs for X
    train: Callable[[Any], Any]  # checkpoint -> checkpoint after one pass in training
    load: Callable[[Any], Variables]
    save: Callable[[Variables, Any], Any]  # with a checkpoint as a template


def make_torch():
    """Make Net in PyTorch."""
    torch = pytest.importorskip("torch")
    names = {"0": "conv", "1": "norm", "4": "dense"}
    images = torch.from_numpy(np.array(X.transpose(0, 3, 1, 2)))

    def run(state_dict, train):
        norm = torch.nn.BatchNorm2d(4, eps=EPSILON, momentum=1 - MOMENTUM)
        layers = [torch.nn.Conv2d(3, 4, 3), norm, torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(48, 5)]
        net = torch.nn.Sequential(*layers).train(train)
        if state_dict is not None:
            net.load_state_dict({name: torch.as_tensor(array) for name, array in state_dict.items()}, strict=True)
        return net(images).detach().numpy(), net.state_dict()

    options = {"names": names, "flattened": {"4": FLAT}}
    return Foreign(
        lambda: run(None, False)[1],
        lambda checkpoint: run(checkpoint, False)[0],
        lambda checkpoint: run(checkpoint, True)[1],
        partial(convert.from_torch, **options),
        lambda variables, template: convert.to_torch(variables, **options),
    )


def make_haiku():
    """Make Net in Haiku."""
    hk = pytest.importorskip("haiku")

    def forward(x, is_training):
        x = hk.Conv2D(4, 3, padding="VALID", name="conv")(x)
        x = hk.BatchNorm(True, True, MOMENTUM, eps=EPSILON, name="norm")(x, is_training)
        return hk.Linear(5, name="dense")(jax.nn.relu(x).reshape(x.shape[0], -1))

    net = hk.without_apply_rng(hk.transform_with_state(forward))
    return Foreign(
        lambda: net.init(jax.random.key(0), X, True),
        lambda checkpoint: net.apply(*checkpoint, X, False)[0],
        lambda checkpoint: (checkpoint[0], net.apply(*checkpoint, X, True)[1]),
        lambda checkpoint: convert.from_haiku(*checkpoint),
        lambda variables, template: convert.to_haiku(variables, *template),
    )


def make_keras():
    """Make Net in Keras, on JAX."""
    keras = pytest.importorskip("keras")
    norm = keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, name="norm")
    layers = [keras.layers.Conv2D(4, 3, name="conv"), norm, keras.layers.ReLU(), keras.layers.Flatten()]
    net = keras.Sequential([keras.Input(X.shape[1:]), *layers, keras.layers.Dense(5, name="dense")], name="net")

    def run(checkpoint, training):
        for weight in net.weights:
            weight.assign(checkpoint[weight.path])
        outputs = np.asarray(net(X, training=training))
        return outputs, {weight.path: weight.numpy() for weight in net.weights}

    names = {f"net/{layer}": layer for layer in ("conv", "norm", "dense")}
    return Foreign(
        lambda: {weight.path: weight.numpy() for weight in net.weights},
        lambda checkpoint: run(checkpoint, False)[0],
        lambda checkpoint: run(checkpoint, True)[1],
        partial(convert.from_keras, names=names),
        lambda variables, template: convert.to_keras(variables, names=names),
    )


def make_equinox(mode):
    """Make Net in Equinox."""
    eqx = pytest.importorskip("equinox")

    def build():
        keys = jax.random.split(jax.random.key(0))
        norm = eqx.nn.BatchNorm(4, "batch", eps=EPSILON, momentum=MOMENTUM, mode=mode)
        layers = [eqx.nn.Conv2d(3, 4, 3, key=keys[0]), norm, eqx.nn.Lambda(jax.nn.relu), eqx.nn.Lambda(jnp.ravel)]
        return eqx.nn.Sequential([*layers, eqx.nn.Linear(48, 5, key=keys[1])])

    def run(checkpoint, inference):
        model, state = eqx.nn.inference_mode(checkpoint[0], inference), jax.tree.map(lambda x: x, checkpoint[1])
        batched = jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
        outputs, state = batched(X.transpose(0, 3, 1, 2), state)
        return outputs, (checkpoint[0], state)

    options = {
        "names": {"layers.0": "conv", "layers.1": "norm", "layers.4": "dense"},
        "flattened": {"layers.4": FLAT},
    }
    return Foreign(
        eqx.nn.make_with_state(build),
        lambda checkpoint: run(checkpoint, True)[0],
        lambda checkpoint: run(checkpoint, False)[1],
        lambda checkpoint: convert.from_equinox(*checkpoint, **options),
        lambda variables, template: convert.to_equinox(variables, *template, **options),
    )


MAKERS = {
    "torch": make_torch,
    "haiku": make_haiku,
    "keras": make_keras,
    "equinox-ema": partial(make_equinox, "ema"),
    "equinox-batch": partial(make_equinox, "batch"),
}


@pytest.fixture
def leniently(monkeypatch):
    """Let other frameworks warn and broadcast, and Keras run on JAX."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with warnings.catch_warnings(), jax.numpy_rank_promotion("allow"):
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(params=MAKERS)
def foreign(request, leniently):
    """Net in each framework that is installed."""
    return MAKERS[request.param]()


def test_evaluates_as_there(foreign):
    """The converted network computes what the original does, after a few passes in training."""
    checkpoint = foreign.init()
    for _ in range(3):
        checkpoint = foreign.train(checkpoint)
    outputs = Net().apply(as_collections(foreign.load(checkpoint)), X)
    np.testing.assert_allclose(outputs, foreign.evaluate(checkpoint), atol=1e-5, rtol=1e-5)


def test_evaluates_as_here(foreign):
    """On the way back, the original framework computes what Flax does, and the way there again changes no bit.

    The template stays as it was.
    """
    variables, template = random_variables(), foreign.init()
    before = foreign.load(template)
    checkpoint = foreign.save(variables, template)
    assert_same(foreign.load(template), before)
    np.testing.assert_allclose(
        foreign.evaluate(checkpoint), Net().apply(as_collections(variables), X), atol=1e-5, rtol=1e-5
    )
    assert_same(foreign.load(checkpoint), variables)


def test_training_continues_there(foreign, request):
    """After the way back, a pass in training moves the statistics in the other framework as in Flax."""
    variables = random_variables()
    trained = foreign.load(foreign.train(foreign.save(variables, foreign.init()))).batch_stats["norm"]
    changed = Net().apply(as_collections(variables), X, train=True, mutable=["batch_stats"])[1]
    expected = changed["batch_stats"]["norm"]
    if "torch" in request.node.name:  # PyTorch records 1/(m-1)
        old, m = variables.batch_stats["norm"]["var"], 16 * 4 * 3
        expected["var"] = MOMENTUM * old + (expected["var"] - MOMENTUM * old) * m / (m - 1)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4), trained, expected)


def test_untrained_networks_have_the_first_statistics_of_flax(foreign):
    """Before the first batch, mean is 0 and variance 1."""
    assert_same(foreign.load(foreign.init()).batch_stats["norm"], {"mean": jnp.zeros(4), "var": jnp.ones(4)})


def test_torch_loads_every_kind_of_module():
    """A state_dict made here loads strictly, and embeddings, 1-d convolutions and layer norms compute the same."""
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Embedding(7, 5), torch.nn.Conv1d(6, 4, 2, groups=2), torch.nn.LayerNorm(4))
    variables = convert.from_torch(net.state_dict(), embeddings=["0"])
    back = convert.to_torch(variables)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in back.items()}, strict=True)
    tokens = np.array([[0, 3, 6, 1, 1, 2]])

    def forward(params):
        x = nn.Embed(7, 5).apply({"params": params["0"]}, tokens).transpose(0, 2, 1)
        x = nn.Conv(4, (2,), padding="VALID", feature_group_count=2).apply({"params": params["1"]}, x)
        return nn.LayerNorm(epsilon=1e-5).apply({"params": params["2"]}, x.transpose(0, 2, 1).reshape(1, 4, 4))

    np.testing.assert_allclose(forward(variables.params), net(torch.from_numpy(tokens)).detach(), atol=1e-5)


def torch_transposed():
    """Make a transposed convolution in PyTorch; return its output for X and its converted parameters."""
    torch = pytest.importorskip("torch")
    net = torch.nn.ConvTranspose2d(3, 4, 3, stride=2)
    outputs = net(torch.from_numpy(np.array(X.transpose(0, 3, 1, 2)))).detach().numpy()
    return outputs.transpose(0, 2, 3, 1), convert.from_torch(net.state_dict()).params


def equinox_transposed():
    """Make one in Equinox."""
    eqx = pytest.importorskip("equinox")
    net = eqx.nn.ConvTranspose2d(3, 4, 3, stride=2, key=jax.random.key(0))
    return jax.vmap(net)(X.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1), convert.from_equinox(net).params


def keras_transposed():
    """Make one in Keras."""
    net = pytest.importorskip("keras").layers.Conv2DTranspose(4, 3, strides=2, name="up")
    outputs = net(X)
    return outputs, convert.from_keras({weight.path: weight.numpy() for weight in net.weights}).params["up"]


@pytest.mark.parametrize("make", [torch_transposed, equinox_transposed, keras_transposed])
def test_transposed_convolution(make, leniently):
    """A transposed convolution comes out as Flax takes it, transposed but for Equinox."""
    expected, params = make()
    is_transposed = make is not equinox_transposed
    net = nn.ConvTranspose(4, (3, 3), strides=(2, 2), padding="VALID", transpose_kernel=is_transposed)
    np.testing.assert_allclose(net.apply({"params": params}, X), expected, atol=1e-5)


def test_keras_depthwise_convolution(leniently):
    """A depthwise convolution computes the same as a Flax convolution with as many groups as channels."""
    layer = pytest.importorskip("keras").layers.DepthwiseConv2D(3, depth_multiplier=2, name="depth")
    expected = layer(X)
    weights = {weight.path: weight.numpy() for weight in layer.weights}
    params = convert.from_keras(weights, depthwise={"depth": 2}).params["depth"]
    net = nn.Conv(6, (3, 3), padding="VALID", feature_group_count=3)
    np.testing.assert_allclose(net.apply({"params": params}, X), expected, atol=1e-5)


def test_torch_tensors_that_numpy_cannot_read():
    """A bfloat16 tensor and one with a gradient are named."""
    torch = pytest.importorskip("torch")
    for tensor in (torch.ones(2, dtype=torch.bfloat16), torch.ones(2, requires_grad=True)):
        with pytest.raises(ValueError, match=r"^norm.weight must be an array that NumPy reads, got torch.*\.$"):
            convert.from_torch({"norm.weight": tensor})
