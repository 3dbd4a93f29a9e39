"""Control of moments: a chain in closed form, what batch norm takes from earlier layers, and bad input."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import norms, probes

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 3)) + 0.5
LAYERS = {"one": "^one/", "two": "^two/", "three": "^three/"}


def outputs(normalise, x, params):
    """Return the pre-activations of three layers, normalised or not."""
    found = {}
    for name in LAYERS:
        x = x @ params[name]["kernel"] + params[name]["bias"]
        if normalise:
            x, _ = norms.batch_norm(x, norms.init_batch_stats(3), train=True, epsilon=0.0)
            x = x * params[name]["scale"] + params[name]["shift"]
        found[name] = x
    return found


def net(seed):
    """Draw parameters, or an update."""
    rng = np.random.default_rng(seed)
    shapes = {"kernel": (3, 3), "bias": (1, 3), "scale": (1, 3), "shift": (1, 3)}
    return {name: {key: jnp.asarray(rng.normal(size=s)) for key, s in shapes.items()} for name in LAYERS}


def moments(values):
    """Return means and standard deviations of units."""
    return np.concatenate([np.mean(values, 0), np.std(values, 0)])


def test_moments_move_as_the_definition_says(x64):
    """Earlier layers, the layer itself and both are moved by hand; lengths are of what is moved."""
    params, update = net(1), jax.tree.map(lambda u: 0.1 * u, net(2))
    found = probes.moment_control(lambda p: outputs(False, X, p), params, update, LAYERS)
    assert found.layers == tuple(LAYERS)
    for i, name in enumerate(LAYERS):
        start = moments(outputs(False, X, params)[name])
        np.testing.assert_allclose(found.moments[i], np.linalg.norm(start), rtol=1e-12)
        for field, first, last in (("earlier", 0, i), ("own", i, i + 1), ("together", 0, i + 1)):
            names = list(LAYERS)[first:last]
            moved = params | {n: jax.tree.map(jnp.add, params[n], update[n]) for n in names}
            change = np.linalg.norm(moments(outputs(False, X, moved)[name]) - start)
            np.testing.assert_allclose(getattr(found, field)[i], change, rtol=1e-10, atol=1e-14)

        def length(tree, names):
            return np.sqrt(sum(np.sum(np.square(leaf)) for n in names for leaf in jax.tree.leaves(tree[n])))

        names = list(LAYERS)[:i]
        np.testing.assert_allclose(found.earlier_update[i], length(update, names), rtol=1e-12)
        np.testing.assert_allclose(found.earlier_params[i], length(params, names), rtol=1e-12)
        np.testing.assert_allclose(found.own_update[i], length(update, [name]), rtol=1e-12)
    np.testing.assert_allclose(found.earlier_gain[1:], (found.earlier / found.earlier_update)[1:])
    np.testing.assert_allclose(found.earlier_share, found.earlier / (found.earlier + found.own))
    expected = found.earlier / found.moments * found.earlier_params / found.earlier_update
    np.testing.assert_allclose(found.relative_gain[1:], expected[1:])
    assert np.isnan(found.earlier_gain[0])
    assert found.earlier[0] == 0


def test_batch_norm_gives_control_to_two_parameters(x64):
    """Earlier layers move no moment of normalised units; the layer's own scale and shift move them as far as they go."""
    params, update = net(1), jax.tree.map(lambda u: 0.1 * u, net(2))
    found = probes.moment_control(lambda p: outputs(True, X, p), params, update, LAYERS)
    np.testing.assert_allclose(found.earlier, 0, atol=1e-12)
    np.testing.assert_allclose(found.together, found.own, rtol=1e-10)
    for i, name in enumerate(LAYERS):
        own, step = params[name], update[name]
        scales = np.abs(own["scale"] + step["scale"]) - np.abs(own["scale"])
        expected = np.linalg.norm(np.concatenate([step["shift"], scales], None))
        np.testing.assert_allclose(found.own[i], expected, rtol=1e-10)
    assert (found.earlier_share < 1e-10).all()


@pytest.mark.thorough
def test_some_layers_after_each_other_and_images(x64):
    """Only what is named is measured; positions of an image are values of a unit."""
    params, update = net(1), net(2)
    all_of_them = probes.moment_control(lambda p: outputs(False, X, p), params, update, LAYERS)
    folded = probes.moment_control(
        lambda p: {"three": outputs(False, X, p)["three"].reshape(2, 4, 4, 3)}, params, update, LAYERS
    )
    assert folded.layers == ("three",)
    np.testing.assert_allclose(folded.earlier, all_of_them.earlier[2:], rtol=1e-12)
    mapped = jax.vmap(lambda u: probes.moment_control(partial(outputs, False, X), params, u, LAYERS))(
        jax.tree.map(lambda u: jnp.stack([u, 2 * u]), update)
    )
    np.testing.assert_allclose(mapped.earlier[0], all_of_them.earlier, rtol=1e-10)


@pytest.mark.thorough
def test_several_outputs_of_one_layer(x64):
    """Before its normaliser and after it, a layer is moved by the same parameters, and the order is that of `of`."""
    params, update = net(1), net(2)

    def both(p):
        plain, normalised = outputs(False, X, p), outputs(True, X, p)
        return {"after": normalised["two"], "before": plain["two"], "first": plain["one"]}

    of = {"before": "two", "after": "two", "first": "one"}
    found = probes.moment_control(both, params, update, LAYERS, of=of)
    plain, normalised = (
        probes.moment_control(lambda p, n=n: outputs(n, X, p), params, update, LAYERS) for n in (False, True)
    )
    assert found.layers == ("before", "after", "first")
    for name in ("earlier", "own", "together", "moments", "earlier_update", "own_update", "earlier_params"):
        a, b, c = getattr(plain, name)[1], getattr(normalised, name)[1], getattr(plain, name)[0]
        np.testing.assert_allclose(getattr(found, name), jnp.stack([a, b, c]), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"outputs_fn": lambda _: {}},
            r"outputs must be of one or more of the layers, one, .*; got none\.",
        ),
        (
            {"outputs_fn": lambda _: {"four": jnp.ones(2)}},
            r"outputs must be of one or more of .*; got 'four'\.",
        ),
        ({"of": {"five": "one"}}, r"of must name outputs, of one, three, two; got 'five'\."),
        ({"of": {"two": "five"}}, r"outputs must be of one or more of the layers, one, two, three; got 'five'\."),
        ({"update": {}}, r"update must be like params"),
        ({"layers": {"one": "^one/", "two": "kernel"}}, r"layers must not overlap"),
    ],
)
def test_bad_input_is_one_line(changes, message):
    """It names what is wrong."""
    arguments = {"outputs_fn": lambda p: outputs(False, X, p), "params": net(1), "update": net(2), "layers": LAYERS}
    with pytest.raises(ValueError, match=message) as error:
        probes.moment_control(**arguments | changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("outputs", [jnp.ones((4, 3)), {"one": jnp.ones(())}])
def test_outputs_that_are_no_activations_are_refused(outputs):
    """They are a dictionary of arrays with examples and units."""
    with pytest.raises(
        ValueError, match=r"^outputs_fn must return a dictionary of activations, each \(examples, \.\.\., units\)"
    ):
        probes.moment_control(lambda _: outputs, {"one": jnp.ones(2)}, {"one": jnp.ones(2)}, ["one"])
