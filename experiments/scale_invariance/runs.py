"""Two copies of a net that take the same steps, and what scaling the weights does to gradients; all in float64."""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

from bnjax import data, linen, models, objective
from bnjax._host.programs import compiled_once
from bnjax._host.trees import dot
from bnjax.models.shapes import VGGShape
from bnjax.probes.paths import named_leaves
from bnjax.types import Batch, Model, Params, Variables
from experiments._config import Options
from experiments._training.tasks import load_images
from experiments.scale_invariance import Config
from experiments.scale_invariance.quantities import ALL, CONSTANT, EPSILON, MOMENTUM

FACTOR = 3.0  # factor on weights whose length must not matter
_USUAL_EPSILON = 1e-5

Arms = dict[str, list[dict[str, Any]]]


class Rule(NamedTuple):
    """How a copy is trained.

    Attributes:
        rates: learning rate of the scale-invariant weights at each step.
        rate: learning rate of all other parameters.
        penalty: strength of the L2 penalty on the scale-invariant weights.
        penalty_elsewhere: the same on all other parameters.
        momentum: of SGD.
    """

    rates: Float[Array, " steps"]
    rate: float
    penalty: float
    penalty_elsewhere: float
    momentum: float


def measure(config: Config, options: Options) -> Iterator[tuple[str, Arms]]:
    """Measure both nets, and variants of the net with batch norm in which the two copies must separate.

    Raises:
        ValueError: if there are several processes.
        MissingDataError: if a data set is not prepared.
    """
    if options.distributed:
        raise ValueError("distributed must be left out: these nets are measured on one device.")
    found: Arms = {}
    for seed in config.seeds:
        batches = draw_batches(config, options.data_dir, seed)
        for arm, record in of_seed(config, batches, jax.random.key(seed)).items():
            found.setdefault(arm, []).append({"seed": seed, "diverged_at": None, **record})
    yield "arms", found


def of_seed(config: Config, batches: Batch, key: Array) -> dict[str, dict[str, Any]]:
    """Measure all arms of a draw: the path of the two copies in each, and the gradients of each net."""
    found = {}
    with jax.enable_x64(True):
        batches = Batch(_widen(batches.inputs), batches.labels)
        for net, epsilon in (("plain", None), ("batch_norm", 0.0), (EPSILON.arm("batch_norm"), _USUAL_EPSILON)):
            model = make_net(config.model, epsilon)
            variables = Variables(*map(_widen, model.init(key, batches.inputs[0][:1])))
            layers = invariant_layers(config, variables.params)
            kinds = {net: rules(config)}
            if net == "batch_norm":
                kinds |= {at.arm(net): rules(config, **changes) for at, changes in _VARIANTS.items()}
            for arm, (with_penalty, instead) in kinds.items():
                path = compare(model, layers, variables, batches, with_penalty, instead)
                found[arm] = _record(path, config.num_steps)
            first = jax.tree.map(lambda leaf: leaf[0], batches)
            gradients = of_gradients(model, layers, variables, first)
            found[net]["layers"] |= {name: _rounded(values) for name, values in gradients.items()}
    return found


_VARIANTS: dict[Any, dict[str, bool]] = {
    CONSTANT: {"growing": False},
    MOMENTUM: {"with_momentum": True},
    ALL: {"everywhere": True},
}


def rules(
    config: Config, growing: bool = True, with_momentum: bool = False, everywhere: bool = False
) -> tuple[Rule, Rule]:
    """Return the rules of the copy with the L2 penalty, and of the copy with another learning rate instead.

    With c = 1 - learning rate * penalty, weights that are c^-t times as long have c^t times the gradient, so

        w / c^(t + 1) - (rate / c^(t + 1)) g(w) = (w / c^t) - rate c^-(2t + 1) g(w / c^t)

    at step t, from 0. Source: Li & Arora 2019, arXiv:1910.07454. From weights c^(1/2) times as long it is c^(-2t).
    """
    rate, penalty = config.learning_rate, config.weight_decay
    momentum = config.momentum if with_momentum else 0.0
    steps = np.arange(config.num_steps)
    # rate c^-(2t + 1)
    grown = rate * (1 - rate * penalty) ** -(2.0 * steps + 1) if growing else np.full(config.num_steps, rate)
    fixed = jnp.full(config.num_steps, rate)
    return (
        Rule(fixed, rate, penalty, penalty * everywhere, momentum),
        Rule(jnp.asarray(grown), rate, 0.0, 0.0, momentum),
    )


@cache
def make_net(shape: VGGShape, epsilon: float | None) -> Model:
    """Make the VGG without a normaliser, or with batch norm of an epsilon; cached by its arguments."""
    norm = None if epsilon is None else partial(linen.BatchNorm, epsilon=epsilon)
    return models.make_model(models.VGGConfig(**vars(shape), norm=norm))


def invariant_layers(config: Config, params: Params) -> tuple[str, ...]:
    """List the paths of the weights that a normaliser can follow, from the input on: all but those of the last layer."""
    paths = [path for path in named_leaves(params) if path.endswith("/kernel")]
    return tuple(sorted(paths, key=lambda path: int(path.split("/")[0].split("_")[1])))[: config.model.num_normalised]


@compiled_once("model", "layers")
def compare(
    model: Model, layers: tuple[str, ...], variables: Variables, batches: Batch, first: Rule, second: Rule
) -> dict[str, Array]:
    """Train two copies of a net side by side on the same batches.

    Args:
        model: the net, in training mode.
        layers: paths of the weights that count as scale-invariant.
        variables: where both copies start.
        batches: (steps, batch, ...).
        first: how one copy is trained.
        second: how the other one is.

    Returns:
        `difference`, (steps + 1,): largest distance over the layers between both copies' weights, each over its length;
        `length`, (steps + 1, 2): length of the first layer's weights; and for the second copy, which has no penalty,
        `growth`, (layers,): increase of the squared length over the sum of rate² |gradient|².
    """

    def step(copies: Any, now: Any) -> Any:
        batch, t = now

        def advance(one: Any) -> Any:
            (params, velocity), rule = one
            gradient = jax.grad(objective.make_loss_fn(model, variables.batch_stats, batch))(params)
            moved = rule.rates[t] ** 2 * _squares(layers, gradient)
            return _descend(layers, params, velocity, gradient, rule, t), moved

        # One copy after another, so that only the step of one copy is compiled.
        copies, moved = lax.map(advance, (copies, both))
        return copies, {"moved": moved[1], **_compared(layers, copies[0])}

    both = jax.tree.map(lambda *x: jnp.stack([jnp.asarray(each) for each in x]), first, second)
    params = jax.tree.map(lambda w: jnp.stack([w, w]), variables.params)
    start = params, jax.tree.map(jnp.zeros_like, params)
    _, path = lax.scan(step, start, (batches, jnp.arange(len(first.rates))))
    before = _compared(layers, params)
    whole = {name: jnp.concatenate([before[name][None], path[name]]) for name in before}
    grown = whole["squares"][-1, 1] - whole["squares"][0, 1]
    return {
        "difference": whole["difference"],
        "length": jnp.sqrt(whole["squares"][:, :, 0]),
        "growth": grown / jnp.sum(path["moved"], axis=0),
    }


def _descend(layers: tuple[str, ...], params: Params, velocity: Params, gradient: Params, rule: Rule, t: Array) -> Any:
    """Take a step of SGD with momentum and L2 penalty: v <- momentum v + g + penalty w, w <- w - rate v."""
    named = named_leaves(params)
    chosen = jax.tree.unflatten(jax.tree.structure(params), [path in layers for path in named])
    velocity = jax.tree.map(
        lambda own, v, g, w: rule.momentum * v + g + (rule.penalty if own else rule.penalty_elsewhere) * w,
        chosen,
        velocity,
        gradient,
        params,
    )
    params = jax.tree.map(lambda own, w, v: w - (rule.rates[t] if own else rule.rate) * v, chosen, params, velocity)
    return params, velocity


def _squares(layers: tuple[str, ...], params: Params) -> Array:
    """Return the squared length of each layer's weights."""
    named = named_leaves(params)
    return jnp.stack([jnp.sum(named[path] ** 2) for path in layers])


def _compared(layers: tuple[str, ...], copies: Params) -> dict[str, Array]:
    """Compare the directions of two copies' weights, which are stacked, and return their squared lengths, (2, layers)."""
    squares = jax.vmap(lambda params: _squares(layers, params))(copies)

    def distance(one: Array, other: Array) -> Array:
        # | w / |w| - v / |v| |
        return _norm(one / _norm(one) - other / _norm(other))

    distances = [distance(*weights) for path, weights in named_leaves(copies).items() if path in layers]
    return {"difference": jnp.max(jnp.stack(distances)), "squares": squares}


def _norm(x: Array) -> Array:
    return jnp.linalg.norm(x.ravel())


@compiled_once("model", "layers")
def of_gradients(model: Model, layers: tuple[str, ...], variables: Variables, batch: Batch) -> dict[str, Array]:
    """Measure whether gradients are orthogonal to the weights, and inversely proportional to their length.

    Returns:
        For each layer `cosine`, |<w, g>| / (|w| |g|), and `scaling`, |factor g(factor w) - g(w)| / |g(w)| where the weights of
        all these layers are multiplied by a factor; each (layers,).
    """
    loss_fn = objective.make_loss_fn(model, variables.batch_stats, batch)
    chosen = [path in layers for path in named_leaves(variables.params)]
    chosen = jax.tree.unflatten(jax.tree.structure(variables.params), chosen)
    longer = jax.tree.map(lambda own, w: FACTOR * w if own else w, chosen, variables.params)
    both = jax.tree.map(lambda *w: jnp.stack(w), variables.params, longer)
    gradients = named_leaves(lax.map(jax.grad(loss_fn), both))
    weights = named_leaves(variables.params)

    def measured(path: str) -> dict[str, Array]:
        w, (g, scaled) = weights[path], gradients[path]
        cosine = jnp.abs(dot(w, g)) / (_norm(w) * _norm(g))
        return {"cosine": cosine, "scaling": _norm(FACTOR * scaled - g) / _norm(g)}

    return jax.tree.map(lambda *x: jnp.stack(x), *map(measured, layers))


def draw_batches(config: Config, data_dir: str | None, seed: int) -> Batch:
    """Draw the batches of all steps, (steps, batch, ...); images repeat only if there are too few."""
    split = load_images(config.data, data_dir)(0).train
    num, key = config.num_steps * config.batch_size, jax.random.fold_in(jax.random.key(seed), 1)
    rounds = -(-num // len(split.labels))
    order = jnp.concatenate([jax.random.permutation(each, len(split.labels)) for each in jax.random.split(key, rounds)])
    rows = order[:num].reshape(config.num_steps, config.batch_size)
    return jax.vmap(lambda indices: data.take_batch(split, indices))(rows)


def _widen(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), tree)


def _record(path: dict[str, Array], num_steps: int) -> dict[str, Any]:
    """Make a run from the measurements along the path."""
    length = np.asarray(path["length"])
    return {
        "pair": {
            "step": list(range(num_steps + 1)),
            "difference": _rounded(path["difference"]),
            "length_penalty": _rounded(length[:, 0]),
            "length_instead": _rounded(length[:, 1]),
        },
        "layers": {"growth": _rounded(np.abs(np.asarray(path["growth"]) - 1))},
    }


def _rounded(values: Any) -> Any:
    """Round to five significant digits."""
    return [_rounded(value) for value in values] if np.ndim(values) else float(f"{float(values):.4e}")
