"""Parts of a data set: first examples in a fixed order, classes, batches sorted by label, and runs that train on them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bnjax import adapters, data, sweep, train
from bnjax.data import subsets
from bnjax.data.prepared import VERSIONS
from bnjax.runs import config_hash
from experiments._config import Images, MLPRun, Optimizer
from experiments._training.tasks import load_images, make_task

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def digits():
    """Load the digits."""
    return data.load("digits").train


def test_a_subset_is_a_part_of_a_larger_one(digits):
    """Its examples keep their labels, are different ones, and stand at the beginning of every larger subset."""
    numbered = data.from_arrays(jnp.arange(1500.0)[:, None], digits.labels)
    small, large = (data.take_subset(numbered, num) for num in (7, 1500))
    places = np.asarray(large.images[:, 0], int)
    np.testing.assert_array_equal(small.images[:, 0], places[:7])
    np.testing.assert_array_equal(np.sort(places), np.arange(1500))
    assert np.any(places != np.arange(1500))
    np.testing.assert_array_equal(small.labels, np.asarray(digits.labels)[places[:7]])


def test_the_fixed_order_stays():
    """Runs on subsets that are recorded hold as long as NumPy draws this."""
    numbered = data.from_arrays(jnp.arange(1500.0)[:, None], jnp.zeros(1500, int))
    first = [804, 1000, 939, 859, 209, 44, 1364, 674, 1242, 212]
    assert data.take_subset(numbered, 10).images[:, 0].tolist() == first


def test_classes_keep_labels_order_and_mask(digits):
    """Images of two classes, as many as there are, and of a masked set those that count still count."""
    split = digits._replace(mask=jnp.arange(1500) % 2 == 0)
    labels = np.asarray(digits.labels)
    found, chosen = data.take_classes(split, (8, 3)), np.isin(labels, (3, 8))
    np.testing.assert_array_equal(found.labels, labels[chosen])
    np.testing.assert_array_equal(found.images, np.asarray(digits.images)[chosen])
    np.testing.assert_array_equal(found.mask, np.arange(1500)[chosen] % 2 == 0)


@pytest.mark.parametrize(
    ("take", "message"),
    [
        (
            lambda split: data.take_subset(split, 1501),
            "num_examples must be at most 1,500, the examples there are, got 1,501.",
        ),
        (lambda split: data.take_subset(split, 0), "num_examples must be a whole number >= 1, got 0."),
        (
            lambda split: data.take_classes(split, (3, 10)),
            "must be one or more different ones of 0, .*, 9, got .3, 10.",
        ),
        (lambda split: data.take_classes(split, (3, 3)), "must be one or more different ones of .*, got .3, 3."),
        (lambda split: data.take_classes(split, ()), "must be one or more different ones of .*, got ..."),
        (
            lambda split: data.take_classes(data.from_arrays(split.images, jnp.ones((1500, 2))), (1,)),
            "split must have one class per example, got labels of float32",
        ),
    ],
)
def test_parts_that_are_not_there(take, message, digits):
    """One line names the argument, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        take(digits)


def test_a_run_is_trained_on_a_part():
    """Classes first, then so many of their images; tests have all images of these classes, and pixels keep their scale."""
    whole = load_images(Images("digits"), None)(0)
    part = load_images(Images("digits", classes=(1, 7), subset=40), None)(0)
    assert part.train.images.shape == (40, 8, 8, 1)
    assert {*part.train.labels.tolist()} == {*part.test.labels.tolist()} == {1, 7}
    assert len(part.test.labels) == np.isin(np.asarray(whole.test.labels), (1, 7)).sum()
    np.testing.assert_array_equal(part.train.scale, whole.train.scale)
    assert data.digest(part) != data.digest(whole)


@pytest.mark.parametrize("name", ["digits", "synthetic", *(pytest.param(n, marks=pytest.mark.slow) for n in VERSIONS)])
def test_the_images_of_each_class_are_counted(name):
    """Configurations know how many there are before anything is loaded."""
    try:
        labels = np.asarray(load_images(Images(name), None)(0).train.labels)
    except data.MissingDataError as error:
        pytest.skip(str(error))
    assert Images(name).class_counts == tuple(np.bincount(labels))
    for classes in ((0, 1), (7, 3, 9)):
        images = Images(name, classes=classes)
        assert images.num_examples == np.isin(labels, classes).sum() == sum(images.class_counts)


def test_a_part_is_another_run():
    """Runs on all images keep the identity that they had before there were parts; each part has its own."""
    images = [Images("mnist"), Images("mnist", subset=100), Images("mnist", classes=(1, 7))]
    hashes = [config_hash(MLPRun(data=each).identity()) for each in images]
    assert hashes[0] == "70bc7163ae"
    assert len({*hashes}) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"subset": 0}, "subset must be between 1 and 50,000, the examples there are, got 0."),
        ({"subset": 25_001, "classes": (0, 1, 2, 3, 4)}, "subset must be between 1 and 25,000, .*, got 25001."),
        ({"classes": (3, 10)}, "classes must be one or more different numbers from 0 to 9, got .3, 10.."),
        ({"classes": ()}, "classes must be one or more different numbers from 0 to 9, got ..."),
        ({"classes": (1.5, 3)}, "classes must be one or more different numbers from 0 to 9, got .1.5, 3.."),
        ({"classes": [3, 8]}, "classes must be a tuple of whole numbers, or None, got .3, 8.."),
        ({"dataset": "imagenet"}, "dataset must be one of cifar10, mnist, digits, synthetic, got 'imagenet'."),
        ({"preprocessing": "foo"}, "preprocessing must be one of unit, half, meanstd, binary, got 'foo'."),
        ({"image_size": 32.5}, "image_size must be a whole number, or None, got 32.5."),
        ({"subset": 10.5}, "subset must be a whole number, or None, got 10.5."),
        ({"subset": True}, "subset must be a whole number, or None, got True."),
        ({"per_label": "2"}, "per_label must be a whole number, or None, got '2'."),
        ({"dataset": "digits", "classes": (0, 1), "subset": 1000}, "subset must be between 1 and 302, .*, got 1000."),
        ({"dataset": "mnist", "classes": (5,), "subset": 5422}, "subset must be between 1 and 5,421, .*, got 5422."),
        ({"dataset": "digits", "per_label": 154}, "per_label must be between 1 and 153, the images .*, got 154."),
        ({"dataset": "digits", "subset": 40, "per_label": 41}, "per_label must be between 1 and 40, .*, got 41."),
    ],
)
def test_settings_of_parts(settings, message):
    """One line names the field, the rule and the value; a batch must fit into the part."""
    with pytest.raises(ValueError, match=message):
        Images(**settings)
    with pytest.raises(
        ValueError, match=r"optimizer\.batch_size must be between 1 and 40, the examples there are, got 60"
    ):
        MLPRun(data=Images("digits", subset=40), optimizer=Optimizer(batch_size=60))


@pytest.mark.slow
def test_batches_sorted_by_label():
    """Two different examples of each of three labels, which differ from batch to batch; any step can be drawn again."""
    labels = jnp.arange(70) % 7
    options = {"batch_size": 6, "per_label": 2}
    many = np.asarray(data.draw_by_label(KEY, 4, labels, num_steps=300, **options))
    found = np.asarray(labels)[many].reshape(300, 3, 2)
    assert np.all(found[..., 0] == found[..., 1])
    assert all(len({*row}) == 6 for row in many.tolist())
    assert all(len({*row}) == 3 for row in found[..., 0].tolist())
    np.testing.assert_array_equal(data.draw_by_label(KEY, 9, labels, num_steps=2, **options), many[5:7])
    # Each example is drawn 300 * 6 / 70 = 25.7 times on average, with a standard deviation of 5.
    counts = np.bincount(many.ravel(), minlength=70)
    assert 8 < counts.min() < counts.max() < 50


def test_labels_with_too_few_examples_are_left_out():
    """A label with a single example is in no batch of two each; where too few are left, one line says so."""
    labels = jnp.array([0, 0, 1, 1, 2])
    drawn = data.draw_by_label(KEY, 0, labels, num_steps=50, batch_size=2, per_label=2)
    assert {*np.asarray(labels)[drawn].ravel().tolist()} == {0, 1}
    with pytest.raises(ValueError, match=r"batch_size must be at most 4, 2 of each of the labels .*, got 6"):
        data.draw_by_label(KEY, 0, labels, num_steps=1, batch_size=6, per_label=2)
    with pytest.raises(ValueError, match="per_label must divide the batch size, 5, got 2"):
        data.draw_by_label(KEY, 0, labels, num_steps=1, batch_size=5, per_label=2)
    with pytest.raises(ValueError, match=r"^labels must be from 0 to 999, got 1000\.$"):
        data.draw_by_label(KEY, 0, labels.at[0].set(1000), num_steps=1, batch_size=2, per_label=2)


@pytest.fixture(scope="module")
def few():
    """A trainer of batches of three labels, its state, and examples of which two labels only have enough."""
    trainer = train.Trainer(adapters.from_linen(nn.Dense(3)), train.make_optimizer("sgd", 0.1), 6, per_label=2)
    split = data.from_arrays(jnp.ones((9, 2)), [0, 0, 0, 0, 1, 1, 1, 1, 2])
    return trainer, train.init_state(trainer, KEY, split.images), split


@pytest.mark.parametrize(
    "take",
    [
        train.current_batch,
        train.current_loss_fn,
        lambda trainer, state, split: train.run_steps(trainer=trainer, state=state, split=split, num_steps=2),
        lambda trainer, state, split: sweep.train_grid(
            lambda: trainer, sweep.grid(seed=[0, 1]), data.Dataset(split, split), num_steps=2
        ),
    ],
    ids=["current_batch", "current_loss_fn", "run_steps", "train_grid"],
)
def test_training_needs_enough_examples_of_each_label(take, few):
    """Compiled code cannot see labels, so they are looked at before, and one line says what fits."""
    with pytest.raises(ValueError, match=r"^batch_size must be at most 4, 2 of each of the labels .*, got 6\.$"):
        take(*few)


def test_a_grid_needs_enough_examples_of_each_label(few):
    """Whatever the learning rate; numbers that are traced are not in the way."""
    trainer, _, split = few

    def make_trainer(learning_rate):
        return trainer._replace(optimizer=train.make_optimizer("sgd", learning_rate))

    (program,) = sweep.programs(make_trainer, sweep.grid(seed=[0], learning_rate=[0.1, 0.2]))
    states = sweep.init_states(program, split.images)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^batch_size must be at most 4, 2 of each of the labels .*, got 6\.$"):
            sweep.run_steps(program, states, split, num_steps=2)


def test_labels_are_looked_at_once(few, monkeypatch):
    """No step waits for them again, and they are forgotten with their array."""
    trainer, state, split = few
    read = []
    before, bincount = len(subsets._CHECKED), np.bincount
    monkeypatch.setattr(np, "bincount", lambda labels: read.append(1) or bincount(labels))
    split = split._replace(labels=split.labels + 0)
    for _ in range(3):
        batch = train.current_batch(trainer._replace(batch_size=4), state, split)
        assert sorted(batch.labels.tolist()) == [0, 0, 1, 1]
    assert len(read) == 1
    del split
    assert len(subsets._CHECKED) == before


def test_a_run_trains_on_batches_sorted_by_label():
    """The trainer draws them; a batch of more labels than there are is refused before anything is read."""
    config = MLPRun(data=Images("digits", "unit", classes=(1, 7), per_label=3), optimizer=Optimizer(batch_size=6))
    task = make_task(config.net(), None)
    state = train.init_state(task.trainer, KEY, jnp.zeros((1, 8, 8, 1)))
    batch = train.current_batch(task.trainer, state, task.load(0).train)
    assert sorted(np.asarray(batch.labels).tolist()) == [1, 1, 1, 7, 7, 7]
    rule = "optimizer.batch_size must be a multiple of data.per_label, 3, and at most 6, .*"
    for size in (9, 4):
        with pytest.raises(ValueError, match=f"{rule}, got {size}"):
            MLPRun(data=config.data, optimizer=Optimizer(batch_size=size))
    few = Images("digits", per_label=152)  # of two digits there are as many
    assert MLPRun(data=few, optimizer=Optimizer(batch_size=304)).data == few
    with pytest.raises(ValueError, match=r"a multiple of data\.per_label, 152, and at most 304, .*, got 456"):
        MLPRun(data=few, optimizer=Optimizer(batch_size=456))


@pytest.mark.parametrize("make", [np.array, jnp.array, tuple, set])
def test_classes_in_an_array(make, digits, as_a_user):
    """They are taken as from a list."""
    assert {*data.take_classes(digits, make([3, 8])).labels.tolist()} == {3, 8}


def test_labels_and_batches_that_cannot_be_sorted(as_a_user):
    """One line names the rule."""
    for labels, batch_size, message in (
        ([-1, 0, 1, 0], 2, "labels must be from 0 to 999, got -1"),
        ([1, 0, 1, 0], -2, "batch_size must be a whole number >= 1, got -2"),
        ([1, 0, 1, 0], 0, "batch_size must be a whole number >= 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            data.draw_by_label(KEY, 0, jnp.array(labels), num_steps=1, batch_size=batch_size, per_label=1)
