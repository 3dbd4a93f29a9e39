"""Arrays as a split, and batches that can be drawn again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import data

KEY = jax.random.key(0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_epochs_are_permutations_and_steps_can_be_drawn_again(seed):
    """Each epoch visits whole batches without repetition, and any step's batch is the same from wherever it is asked for."""
    key, options = jax.random.key(seed), {"num_examples": 23, "batch_size": 5}
    many = data.draw_indices(key, 0, num_steps=12, **options)
    for epoch in many.reshape(3, 20):
        assert len(set(np.asarray(epoch))) == 20
    assert np.any(many[:4] != many[4:8])
    for start, num in ((0, 1), (3, 2), (5, 7), (11, 1)):
        np.testing.assert_array_equal(
            data.draw_indices(key, start, num_steps=num, **options), many[start : start + num]
        )


def test_batches_larger_than_the_set():
    """A batch that cannot be filled is an error at trace time."""
    with pytest.raises(ValueError, match="batch_size must lie between 1 and the 4 examples there are, got 5"):
        data.draw_indices(jax.random.key(0), 0, num_steps=1, num_examples=4, batch_size=5)


@pytest.mark.parametrize(
    "draw",
    [
        lambda step, num: data.draw_indices(KEY, step, num_steps=num, num_examples=23, batch_size=5),
        lambda step, num: data.draw_by_label(KEY, step, jnp.arange(40) % 10, num_steps=num, batch_size=6, per_label=2),
    ],
)
def test_steps_near_the_limits_of_their_type(draw):
    """Steps of eight bits are those of 32, and the last one that int32 holds can be drawn; a later one is refused."""
    np.testing.assert_array_equal(draw(jnp.int8(126), 5), draw(126, 5))
    np.testing.assert_array_equal(draw(2**31 - 3, 3)[1:], draw(2**31 - 2, 2))
    for step in (2**31 - 2, jnp.int32(2**31 - 2)):
        with pytest.raises(
            ValueError, match=r"^step must be at most 2147483643, so that int32 holds .*, got 2147483646"
        ):
            draw(step, 5)


def test_parts_of_examples():
    """A batch has a whole number of them."""
    with pytest.raises(ValueError, match=r"^batch_size must be a whole number, got 32\.5\.$"):
        data.steps_per_epoch(100, 32.5)  # pyright: ignore[reportArgumentType]


def test_whole_numbers_stay_as_they_are():
    """Those that JAX's type cannot hold are refused, not wrapped."""
    for name, inputs, labels in (("labels", np.zeros((2, 1)), [2**32 + 1, 0]), ("inputs", [[2**40], [5]], [0, 1])):
        with pytest.raises(
            ValueError,
            match=rf"^{name} must fit into int32, or .* keeps them, got {max(map(np.max, (inputs, labels)))}",
        ):
            data.from_arrays(np.array(inputs), np.array(labels))
    assert data.from_arrays(np.zeros((2, 1)), np.array([2**31 - 1, -1])).labels.tolist() == [2**31 - 1, -1]


class OnHost:
    """Labels of another library, which NumPy can read."""

    shape, ndim = (2,), 1

    def __init__(self, values):
        self.values = values

    def __repr__(self):
        return f"OnHost({self.values})"

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


TOO_LARGE = 2**32 + 1


@pytest.mark.parametrize(
    "labels",
    [
        [np.array([TOO_LARGE]), np.array([1])],
        {"low": [1, 2], "high": [np.array([TOO_LARGE]), np.array([1])]},
        (np.array([1, 2]), np.array([TOO_LARGE, 1])),
        [TOO_LARGE, 1],
        (TOO_LARGE, 1),
        [jnp.array(1), np.int64(TOO_LARGE)],
        OnHost([TOO_LARGE, 1]),
        {"labels": OnHost([TOO_LARGE, 1])},
    ],
    ids=str,
)
def test_whole_numbers_in_lists_and_other_arrays_stay_as_they_are(labels, as_a_user):
    """They are refused wherever they are."""
    with pytest.raises(ValueError, match=rf"^labels must fit into int32, or .* keeps them, got {TOO_LARGE}\.$"):
        data.from_arrays(np.zeros((2, 1)), labels)


@pytest.mark.parametrize("wrong", [2**70, -(2**63) - 1, 2**63])
def test_whole_numbers_beyond_64_bits(wrong, as_a_user):
    """NumPy has no type for some of them."""
    with pytest.raises(ValueError, match=rf"^labels must fit into int32, or .* keeps them, got {wrong}\.$"):
        data.from_arrays(np.zeros((2, 1)), [wrong, 1])
    with jax.enable_x64(True), pytest.raises(ValueError, match=rf"^labels must fit into int64, got {wrong}\.$"):
        data.from_arrays(np.zeros((2, 1)), [wrong, 1])


def test_arrays_of_any_origin_are_those_of_jax(as_a_user):
    """Lists of numbers and of arrays become one array each, at any depth; traced numbers stay traced."""
    for labels in ([0, 1], (0, 1), np.array([0, 1]), [jnp.array(0), jnp.array(1)], OnHost([0, 1])):
        found = data.from_arrays(np.array([[1.5], [2]]), labels)
        assert (found.labels.tolist(), found.labels.dtype, found.labels.weak_type) == ([0, 1], jnp.int32, False)
        assert found.images.dtype == jnp.float32
    found = data.from_arrays(np.zeros((2, 1)), {"a": [[1.0], [2.0]], "b": ([1, 2], np.ones((2, 3)))}).labels
    assert jax.tree.map(jnp.shape, found) == {"a": (2, 1), "b": ((2,), (2, 3))}
    traced = jax.jit(lambda x: data.from_arrays(jnp.ones((2, 1)), [x, 2.0]).labels)(1.0)
    np.testing.assert_array_equal(traced, [1, 2])


def test_no_example():
    """There is nothing to average over."""
    with pytest.raises(ValueError, match=r"^inputs must hold one example or more, got shape \(0, 3\)\.$"):
        data.from_arrays(np.zeros((0, 3)), np.zeros(0, int))


def test_double_precision_changes_no_batch(x64):
    """Scales and offsets are float32, and so are the inputs; the same examples are drawn."""
    split = data.from_arrays(np.ones((3, 2), np.float32), [0, 1, 0])
    assert split.scale.dtype == split.offset.dtype == data.take_batch(split, jnp.arange(2)).inputs.dtype == jnp.float32
    drawn = data.draw_by_label(KEY, 0, jnp.arange(40) % 10, num_steps=2, batch_size=6, per_label=2)
    np.testing.assert_array_equal(drawn, [[3, 23, 31, 21, 27, 17], [29, 19, 16, 36, 7, 27]])
