"""Measurements of networks at initialisation: activations by layer, Fisher matrix, residual branches, L2 penalty."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from bnjax import data, linen, models, norms, objective, probes
from bnjax._host.programs import compiled_once
from bnjax.models.resnet import shortcut
from bnjax.types import Batch, Model, Variables
from experiments._config import Images, Options
from experiments._training.tasks import load_images
from experiments.initialisation import Config, Fisher, Orthogonality, Penalty, Representations, Residual

SETTLED = 20  # layers after which the orthogonality gap of linear nets stays constant, in Daneshmand et al. 2021
_SHOWN = 40  # maximum number of layers kept per net
_FIRST, _OTHERS = 1.0, 1e-6  # entries of the inputs of Daneshmand et al. 2021, which are close to one line
_TOLERANCE = 1e-2  # of the Fisher matrix's largest eigenvalue, relative

Arms = dict[str, list[dict[str, Any]]]
Load = Callable[[Images, int, Array], Batch]  # draws a number of images with a key
Nets = tuple[tuple[str, str], ...]  # normaliser and activation


def measure(config: Config, options: Options) -> Iterator[tuple[str, Arms]]:
    """Measure the groups in turn; yield each one's name and the draws of its nets.

    Raises:
        ValueError: if there are several processes.
        MissingDataError: if a data set is not prepared.
    """
    if options.distributed:
        raise ValueError("distributed must be left out: these nets are measured on one device.")
    load = partial(_images, options.data_dir)
    yield "representations", _draw(partial(representations, config.representations, load), config.seeds)
    yield "orthogonality", _draw(partial(orthogonality, config.orthogonality), config.seeds)
    yield "fisher", _draw(partial(fisher, config.fisher), config.seeds)
    yield "residual", _draw(partial(residual, config.residual, load), config.seeds)
    yield "penalty", _draw(partial(penalty, config.penalty, load), config.seeds)
    yield "other_penalty", _draw(partial(penalty, config.other_penalty, load), config.seeds)


def _draw(of_key: Callable[[Array], dict[str, Any]], seeds: tuple[int, ...]) -> Arms:
    """Measure the nets of a group once for each seed."""
    found: Arms = {}
    for seed in seeds:
        for arm, record in of_key(jax.random.key(seed)).items():
            found.setdefault(arm, []).append({"seed": seed, "diverged_at": None, **record})
    return found


def representations(config: Representations, load: Load, key: Array) -> dict[str, Any]:
    """Measure deep nets on images, by net and activation: the last layer at every width, layers of the narrowest."""
    nets = tuple((net, activation) for activation in ("linear", "relu") for net in ("plain", "batch_norm"))
    measured = {}
    for width in config.widths:
        inputs = load(config.data, width, jax.random.fold_in(key, 0)).inputs.reshape(width, -1)
        measured[width] = by_layer(key, inputs, nets=nets, width=width, depth=config.depth)
    kept = np.unique(np.geomspace(1, config.depth, min(config.depth, _SHOWN)).round().astype(int))
    found = {}
    for rank, (net, activation) in enumerate(nets):
        narrowest = {name: np.asarray(x)[kept - 1] for name, x in measured[min(config.widths)][rank].items()}
        ends = [{name: x[-1] for name, x in measured[width][rank].items()} for width in config.widths]
        found[f"{net}_{activation}"] = {
            "widths": _columns(config.widths, ends),
            "layers": {"layer": kept.tolist(), **{name: _rounded(x) for name, x in narrowest.items()}},
        }
    return found


def orthogonality(config: Orthogonality, key: Array) -> dict[str, Any]:
    """Measure deep linear nets on inputs close to one line, by net: the gap averaged over layers, at every width."""
    nets = tuple((net, "linear") for net in ("plain", "batch_norm", "rescaled"))
    entries = jnp.full(config.batch_size, _OTHERS).at[0].set(_FIRST)
    found: dict[str, list[Any]] = {net: [] for net, _ in nets}
    for width in config.widths:
        inputs = jnp.eye(config.batch_size, width) * entries[:, None]
        measured = by_layer(key, inputs, nets=nets, width=width, depth=config.depth)
        for (net, _), layers in zip(nets, measured, strict=True):
            gap = np.asarray(layers["gap"])
            settled = gap[SETTLED:].mean() if config.depth > SETTLED else np.nan
            found[net].append({"mean_gap": gap.mean(), "first_gap": gap[0], "settled_gap": settled})
    return {net: {"widths": _columns(config.widths, rows)} for net, rows in found.items()}


@compiled_once("nets", "width", "depth")
def by_layer(key: Array, inputs: Array, *, nets: Nets, width: int, depth: int) -> list[dict[str, Array]]:
    """Pass a batch through deep nets of the same random weights, and measure its activations in every layer.

    Args:
        key: for the weights, which are normal with mean 0 and variance 1 / fan-in, or 2 / fan-in before a ReLU.
        inputs: (examples, features).
        nets: pairs of a normaliser, "plain", "batch_norm", or "rescaled" for batch norm that does not subtract the mean, and
            an activation, "linear" or "relu".
        width: units of each layer.
        depth: layers.

    Returns:
        For each net `rank`, `gap`, `others` and `odd`, each (depth,), see `_measured`.
    """

    def layer(each: list[Array], key: Array) -> tuple[list[Array], list[dict[str, Array]]]:
        kernel = jax.random.normal(key, (each[0].shape[-1], width)) / jnp.sqrt(each[0].shape[-1])
        found = [_layer(net, activation, h, kernel) for (net, activation), h in zip(nets, each, strict=True)]
        return found, [_measured(h) for h in found]

    first, *others = jax.random.split(jax.random.fold_in(key, 1), depth)
    each, start = layer([inputs] * len(nets), first)
    _, rest = lax.scan(layer, each, jnp.stack(others))
    return jax.tree.map(lambda one, more: jnp.concatenate([one[None], more]), start, rest)


def _layer(net: str, activation: str, h: Array, kernel: Array) -> Array:
    """Compute a layer's activations."""
    z = _normalised(net, jnp.matmul(h, kernel, precision="highest"))
    h = jnp.sqrt(2.0) * jax.nn.relu(z) if activation == "relu" else z
    # A common factor, to which all measures are invariant, keeps the products of many matrices in range.
    return h / jnp.sqrt(jnp.mean(h**2)) if net == "plain" else h


def _normalised(net: str, z: Array) -> Array:
    """Normalise every unit over the batch, with epsilon 0."""
    if net == "batch_norm":
        return norms.batch_norm(z, norms.init_batch_stats(z.shape[-1]), train=True, epsilon=0.0)[0]
    # z / (mean over the batch of z²)^(1/2)
    return z * lax.rsqrt(jnp.mean(z**2, axis=0, keepdims=True)) if net == "rescaled" else z


def _measured(h: Array) -> dict[str, Array]:
    """Measure a layer: soft rank, orthogonality gap, cosines without the odd example, and cosines with it.

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


def fisher(config: Fisher, key: Array) -> dict[str, Any]:
    """Measure the Fisher matrix by net, with as many examples as units, and with a fixed number of them."""
    nets = {net: net for net in ("plain", "batch_norm", "batch_norm_output")} | {
        "batch_norm_output_fixed": "batch_norm_output"
    }
    found: dict[str, list[Any]] = {arm: [] for arm in nets}
    for width in config.widths:
        for arm, net in nets.items():
            examples = config.fixed_batch if arm.endswith("_fixed") else width
            inputs = jax.random.normal(jax.random.fold_in(key, 0), (examples, width))
            model = make_perceptron(net, width, config.num_hidden, config.num_outputs)
            found[arm].append({"eigenvalue": largest_eigenvalue(model, inputs, config.num_outputs, key)})
    return {arm: {"widths": _columns(config.widths, rows)} for arm, rows in found.items()}


@cache
def make_perceptron(net: str, width: int, num_hidden: int, num_outputs: int) -> Model:
    """Make a ReLU net without batch norm, or with it in the hidden or all layers; cached by its arguments."""
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
    """Return the largest eigenvalue of the Fisher matrix for Gaussian output noise; NaN if it did not converge.

    F = mean over examples of JᵀJ, J the Jacobian of an example's outputs in all parameters, through the batch's statistics
    """
    weights_key, lanczos_key = jax.random.split(key)
    params, batch_stats = model.init(weights_key, inputs)
    batch = Batch(inputs, jnp.zeros((len(inputs), num_outputs)))
    loss_fn = objective.make_loss_fn(model, batch_stats, batch, loss="squared_error")
    matrix = objective.linearise(loss_fn, params)
    pairs = probes.curvature.top_eigenpairs(matrix, params, key=lanczos_key, tolerance=_TOLERANCE)
    return float(pairs.eigenvalues[0]) if pairs.converged[0] else float("nan")


def residual(config: Residual, load: Load, key: Array) -> dict[str, Any]:
    """Measure residual branches, by net."""
    images, found = load(config.data, config.batch_size, jax.random.fold_in(key, 0)).inputs, {}
    for net in ("plain", "batch_norm", "skip_init"):
        shape = {**vars(config.model), "skip_init": net == "skip_init"}
        net_config = models.ResNetConfig(**shape, norm=linen.BatchNorm if net == "batch_norm" else None)
        skip, branch = branch_sizes(net_config, models.make_model(net_config).init(key, images), images)
        found[net] = {"blocks": {"skip": _rounded(skip), "ratio": _rounded(branch / skip)}}
    return found


@compiled_once("config")
def branch_sizes(config: models.ResNetConfig, variables: Variables, images: Array) -> tuple[Array, Array]:
    """Return the mean squares of each block's shortcut and of the branch that is added to it.

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


def penalty(config: Penalty, load: Load, key: Array) -> dict[str, Any]:
    """Measure the loss of a plain VGG, and the L2 penalty that may be a part of it.

    total = cross-entropy + weight_decay / 2 * |w|², w all parameters
    """
    batch = load(config.data, config.batch_size, jax.random.fold_in(key, 0))
    model = models.make_model(models.VGGConfig(**vars(config.model), num_classes=config.data.num_classes))
    params, batch_stats = model.init(key, batch.inputs)
    cross_entropy = float(objective.make_loss_fn(model, batch_stats, batch)(params))
    squared_length = float(optax.tree.norm(params, squared=True))
    own = config.weight_decay / 2 * squared_length
    found = {
        "cross_entropy": cross_entropy,
        "squared_length": squared_length,
        "penalty": own,
        "total": cross_entropy + own,
    }
    return {"plain": {"loss": {name: _rounded(x) for name, x in found.items()}}}


def _images(data_dir: str | None, images: Images, num: int, key: Array) -> Batch:
    """Draw training images without replacement, with their labels."""
    split = load_images(images, data_dir)(0).train
    indices = jax.random.choice(key, len(split.images), (num,), replace=False)
    return data.take_batch(split, indices)


def _columns(widths: tuple[int, ...], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Turn the measurements at each width into lists over widths."""
    return {"width": list(widths), **{name: _rounded([row[name] for row in rows]) for name in rows[0]}}


def _rounded(values: Any) -> Any:
    """Round to five significant digits."""
    return [_rounded(value) for value in values] if np.ndim(values) else float(f"{float(values):.4e}")
