"""What is measured of networks at initialisation: activations by layer, the Fisher matrix, and residual branches."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from bnjax import data, linen, models, norms, objective, probes
from bnjax.models.resnet import shortcut
from bnjax.types import Batch, Model, Variables
from experiments._config import Images, Options
from experiments._training.tasks import load_images
from experiments.initialisation import Config, Fisher, Orthogonality, Representations, Residual

SETTLED = 20  # layers after which the orthogonality gap of linear nets stays where it is, in Daneshmand et al. 2021
_SHOWN = 40  # layers of a net that are kept, at most
_FIRST, _OTHERS = 1.0, 1e-6  # entries of the inputs of Daneshmand et al. 2021, which are close to one line
_TOLERANCE = 1e-2  # of the Fisher matrix's largest eigenvalue, relative

Arms = dict[str, list[dict[str, Any]]]


def measure(config: Config, options: Options) -> Iterator[tuple[str, Arms]]:
    """Measure one group after another: its name, and the draws of each of its nets.

    Raises:
        ValueError: with several processes.
        MissingDataError: if a data set is not prepared.
    """
    if options.distributed:
        raise ValueError("distributed must be left out: these nets are measured on one device.")
    load = partial(_images, options.data_dir)
    yield "representations", _draw(representations(config.representations, load), config.seeds)
    yield "orthogonality", _draw(orthogonality(config.orthogonality), config.seeds)
    yield "fisher", _draw(fisher(config.fisher), config.seeds)
    yield "residual", _draw(residual(config.residual, load), config.seeds)


def _draw(arms: Mapping[str, Callable[[Array], dict[str, Any]]], seeds: tuple[int, ...]) -> Arms:
    """Measure every net once for each seed."""
    found: Arms = {}
    for arm, of_draw in arms.items():
        for seed in seeds:
            start = time.perf_counter()
            record = of_draw(jax.random.key(seed))
            took = {"seconds": round(time.perf_counter() - start, 3)}
            found.setdefault(arm, []).append({"seed": seed, "diverged_at": None, **record, **took})
    return found


def representations(config: Representations, load: Callable[[Images, int, Array], Array]) -> dict[str, Any]:
    """Return what measures the deep nets of images, by net, activation and width."""

    def of_draw(net: str, activation: str, width: int, key: Array) -> dict[str, Any]:
        images = load(config.data, width, jax.random.fold_in(key, 0))
        inputs = images.reshape(width, -1)
        return describe(by_layer(key, inputs, net=net, activation=activation, width=width, depth=config.depth))

    return {
        f"{net}_{activation}_{width}": partial(of_draw, net, activation, width)
        for activation in ("linear", "relu")
        for width in config.widths
        for net in ("plain", "batch_norm")
    }


def orthogonality(config: Orthogonality) -> dict[str, Any]:
    """Return what measures the deep linear nets of inputs that are close to one line, by net and width."""

    def of_draw(net: str, width: int, key: Array) -> dict[str, Any]:
        entries = jnp.full(config.batch_size, _OTHERS).at[0].set(_FIRST)
        inputs = jnp.eye(config.batch_size, width) * entries[:, None]
        return describe(by_layer(key, inputs, net=net, activation="linear", width=width, depth=config.depth))

    return {
        f"{net}_{width}": partial(of_draw, net, width)
        for width in config.widths
        for net in ("plain", "batch_norm", "rescaled")
    }


@partial(jax.jit, static_argnames=("net", "activation", "width", "depth"))
def by_layer(key: Array, inputs: Array, *, net: str, activation: str, width: int, depth: int) -> dict[str, Array]:
    """Pass a batch through a deep net of random weights, and measure its activations in every layer.

    Args:
        key: of the weights, which are normal with mean 0 and variance 1 / fan-in, or 2 / fan-in before a ReLU.
        inputs: (examples, features).
        net: "plain", "batch_norm", or "rescaled" where batch norm does not subtract the mean.
        activation: "linear" or "relu".
        width: units of each layer.
        depth: layers.

    Returns:
        `rank`, `gap`, `others` and `odd`, each (depth,), see `_measured`.
    """
    gain = 2.0 if activation == "relu" else 1.0

    def layer(h: Array, key: Array) -> tuple[Array, dict[str, Array]]:
        kernel = jax.random.normal(key, (h.shape[-1], width)) * jnp.sqrt(gain / h.shape[-1])
        z = _normalised(net, jnp.matmul(h, kernel, precision="highest"))
        h = jax.nn.relu(z) if activation == "relu" else z
        if net == "plain":  # one factor for all, which no measure sees, keeps the products of many matrices in range
            h = h / jnp.sqrt(jnp.mean(h**2))
        return h, _measured(h)

    first, *others = jax.random.split(jax.random.fold_in(key, 1), depth)
    h, start = layer(inputs, first)
    _, rest = lax.scan(layer, h, jnp.stack(others))
    return jax.tree.map(lambda one, more: jnp.concatenate([one[None], more]), start, rest)


def _normalised(net: str, z: Array) -> Array:
    """Normalise every unit over the batch, with epsilon 0."""
    if net == "batch_norm":
        return norms.batch_norm(z, norms.init_batch_stats(z.shape[-1]), train=True, epsilon=0.0)[0]
    # z / (mean over the batch of z²)^(1/2)
    return z * lax.rsqrt(jnp.mean(z**2, axis=0)) if net == "rescaled" else z


def _measured(h: Array) -> dict[str, Array]:
    """Measure a layer: soft rank and orthogonality gap; cosines without the odd example, and of it.

    The odd example is the one whose mean cosine with all others is the smallest. `others` is the mean cosine of all pairs
    without it, `odd` the mean |cosine| of all pairs with it.
    """
    num, cosines = len(h), probes.cosines(h)
    pairs = 1 - jnp.eye(num)
    odd = jnp.argmin(jnp.sum(cosines * pairs, axis=1))
    is_other = (jnp.arange(num) != odd).astype(h.dtype)
    of_others = pairs * is_other[:, None] * is_other[None]
    return {
        "rank": probes.soft_rank(h),
        "gap": probes.orthogonality_gap(h),
        "others": jnp.sum(jnp.where(of_others > 0, cosines, 0)) / jnp.maximum(jnp.sum(of_others), 1),
        "odd": jnp.sum(jnp.where(is_other > 0, jnp.abs(cosines[odd]), 0)) / jnp.sum(is_other),
    }


def describe(found: Mapping[str, Array]) -> dict[str, Any]:
    """Keep some layers of what was measured in all, and means of the orthogonality gap over all, and over those after 20."""
    depth = len(found["rank"])
    layers = np.unique(np.geomspace(1, depth, min(depth, _SHOWN)).round().astype(int))
    kept = {name: _rounded(np.asarray(values)[layers - 1]) for name, values in found.items()}
    gap = np.asarray(found["gap"])
    means = {"mean_gap": gap.mean(), "settled_gap": gap[SETTLED:].mean() if depth > SETTLED else np.nan}
    return {"layers": {"layer": layers.tolist(), **kept, **{name: _rounded(x) for name, x in means.items()}}}


def fisher(config: Fisher) -> dict[str, Any]:
    """Return what measures the Fisher matrix, by net and width, with as many examples as units, and with a fixed number."""

    def of_draw(net: str, width: int, examples: int, key: Array) -> dict[str, Any]:
        inputs = jax.random.normal(jax.random.fold_in(key, 0), (examples, width))
        model = make_perceptron(net, width, config.num_hidden, config.num_outputs)
        return {"fisher": {"eigenvalue": _rounded(largest_eigenvalue(model, inputs, config.num_outputs, key))}}

    sizes = {"": lambda width: width, "_fixed": lambda _: config.fixed_batch}
    return {
        f"{net}_{width}{suffix}": partial(of_draw, net, width, examples(width))
        for suffix, examples in sizes.items()
        for width in config.widths
        for net in (("plain", "batch_norm", "batch_norm_output") if not suffix else ("batch_norm_output",))
    }


@cache
def make_perceptron(net: str, width: int, num_hidden: int, num_outputs: int) -> Model:
    """Make a ReLU net without batch norm, with it in the hidden layers, or in all; the same one for the same arguments."""
    norm = None if net == "plain" else linen.BatchNorm
    shape = {"activation": "relu", "kernel_init": "he_normal", "num_classes": num_outputs}
    model = models.make_model(models.MLPConfig(hidden=(width,) * num_hidden, norm=norm, **shape))
    return model._replace(apply=partial(_normalise_outputs, model.apply)) if net == "batch_norm_output" else model


def _normalise_outputs(
    apply: Callable[..., Any], variables: Variables, inputs: Array, *, train: bool, rngs: Any = None
) -> tuple[Array, Any]:
    """Normalise the outputs of a model over the batch, without scale and bias."""
    outputs, batch_stats = apply(variables, inputs, train=train, rngs=rngs)
    return norms.batch_norm(outputs, norms.init_batch_stats(outputs.shape[-1]), train=True)[0], batch_stats


def largest_eigenvalue(model: Model, inputs: Array, num_outputs: int, key: Array) -> float:
    """Return the largest eigenvalue of the Fisher matrix of normal noise on the outputs; NaN where it was not found.

    F = mean over examples of JᵀJ, J the derivative of an example's outputs by all parameters, through the batch's statistics
    """
    weights_key, lanczos_key = jax.random.split(key)
    params, batch_stats = model.init(weights_key, inputs)
    batch = Batch(inputs, jnp.zeros((len(inputs), num_outputs)))
    loss_fn = objective.make_loss_fn(model, batch_stats, batch, loss="squared_error")
    matrix = objective.linearise(loss_fn, params)
    pairs = probes.curvature.top_eigenpairs(matrix, params, key=lanczos_key, tolerance=_TOLERANCE)
    return float(pairs.eigenvalues[0]) if pairs.converged[0] else float("nan")


def residual(config: Residual, load: Callable[[Images, int, Array], Array]) -> dict[str, Any]:
    """Return what measures the residual branches, by net."""

    def of_draw(net: str, key: Array) -> dict[str, Any]:
        images = load(config.data, config.batch_size, jax.random.fold_in(key, 0))
        shape = {**vars(config.model), "skip_init": net == "skip_init"}
        norm = linen.BatchNorm if net == "batch_norm" else None
        net_config = models.ResNetConfig(**shape, norm=norm)
        skip, branch = branch_sizes(net_config, models.make_model(net_config).init(key, images), images)
        return {"blocks": {"skip": _rounded(skip), "ratio": _rounded(branch / skip)}}

    return {net: partial(of_draw, net) for net in ("plain", "batch_norm", "skip_init")}


@partial(jax.jit, static_argnums=0)
def branch_sizes(config: models.ResNetConfig, variables: Variables, images: Array) -> tuple[Array, Array]:
    """Return the mean square of what enters each block by its shortcut, and of the branch that is added to it.

    Over random weights, which have mean 0, mean squares are variances.
    """
    convolutions = probes.capture(models.make_model(config), variables, images)
    x, layer, sizes = convolutions["conv_1"], 1, []
    for stage, features in enumerate(config.stage_features):
        for block in range(config.num_blocks):
            layer += 2
            branch = convolutions[f"conv_{layer}"]
            if config.skip_init:
                branch = branch * variables.params[f"scale_{layer}"]
            x = shortcut(x, features, 2 if stage > 0 and block == 0 else 1)
            sizes.append((jnp.mean(x**2), jnp.mean(branch**2)))
            x = x + branch
    skips, branches = zip(*sizes, strict=True)
    return jnp.stack(skips), jnp.stack(branches)


def _images(data_dir: str | None, images: Images, num: int, key: Array) -> Array:
    """Draw different training images."""
    split = load_images(images, data_dir)(0).train
    indices = jax.random.choice(key, len(split.images), (num,), replace=False)
    return data.take_batch(split, indices).inputs


def _rounded(values: Any) -> Any:
    """Round to five digits."""
    return [_rounded(value) for value in values] if np.ndim(values) else float(f"{float(values):.4e}")
