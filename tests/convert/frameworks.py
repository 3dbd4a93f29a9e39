"""One net in Flax and in each of the other frameworks, where these are installed."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bnjax import convert
from bnjax.linen import BatchNorm
from bnjax.types import Variables

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
