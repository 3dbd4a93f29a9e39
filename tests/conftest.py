"""Checks shapes and types of everything in bnjax while it is tested, and gives tests small models and data."""

import zlib
from collections.abc import Callable
from functools import partial

from compiling import ROOT  # noqa: F401  # before jax, which it configures

# isort: split
import jax
import jax.numpy as jnp
import jaxtyping
import pytest
import type_checks
from flax import linen as nn

jax.config.update("jax_numpy_rank_promotion", "raise")
pytest.register_assert_rewrite("disturbed")
type_checks.install("bnjax")

from bnjax import adapters, data, linen, train  # noqa: E402
from bnjax.ops import conv_general_dilated, max_pool_2x2  # noqa: E402


def pytest_addoption(parser):
    """Add the option that splits the tests."""
    parser.addoption("--part", default="1/1", metavar="K/N", help="run the K-th of N parts of the tests")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Leave cases to slower tiers, and tests to other parts; start the files of long tests, which have a group, first.

    So that no worker waits for the other at the end. A part has whole files, whose tests share what they compile, except for
    the long ones, which are split.
    """
    sampled = set()
    for item in items:
        sampling = item.get_closest_marker("sampled")
        if sampling and not item.get_closest_marker("thorough"):
            if (item.path, item.originalname) in sampled:
                item.add_marker(*sampling.args)
            sampled.add((item.path, item.originalname))
    part, parts = map(int, config.getoption("part").split("/"))

    def is_here(item):
        name = item.nodeid if item.get_closest_marker("xdist_group") else item.nodeid.partition("::")[0]
        return zlib.crc32(name.encode()) % parts == part % parts

    config.hook.pytest_deselected(items=[item for item in items if not is_here(item)])
    items[:] = sorted(filter(is_here, items), key=lambda item: item.get_closest_marker("xdist_group") is None)


def pytest_configure(config):
    """Run the long tests as users run bnjax, without the type checker, which takes a fifth of their time."""
    if config.option.markexpr == "thorough":
        jaxtyping.config.update("jaxtyping_disable", True)


COMPILED = []
jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: COMPILED.append(name))


@pytest.fixture
def compilations():
    """Return a function that counts the programs which this process has compiled, or read from the disk, so far."""
    return lambda: COMPILED.count("/jax/core/compile/backend_compile_duration")


@pytest.fixture
def as_a_user():
    """Switch the type checker off, which users do not run: what is wrong must be told by bnjax itself."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture
def x64():
    """Switch to float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def synthetic():
    """The synthetic data set on the device."""
    return data.load("synthetic")


class SmallNet(nn.Module):
    """A convolution, a dense layer, and what normalises them: every kind of layer that a VGG has."""

    norm: Callable[..., nn.Module] | None

    @nn.compact
    def __call__(self, x, *, train):
        """Compute logits."""
        for layer in (
            lambda x: max_pool_2x2(nn.Conv(8, (3, 3), conv_general_dilated=conv_general_dilated, name="conv")(x)),
            lambda x: nn.Dense(16, name="dense")(x.reshape(x.shape[0], -1)),
        ):
            x = layer(x)
            x = nn.relu(x if self.norm is None else self.norm()(x, use_running_average=not train))
        return nn.Dense(10, name="logits")(x)


@pytest.fixture(scope="session", params=[pytest.param("plain", marks=pytest.mark.thorough), "batch_norm"])
def trainer(request):
    """What trains a small net, without and with batch norm, on batches of 16."""
    norm = partial(linen.BatchNorm, momentum=0.9) if request.param == "batch_norm" else None
    return train.Trainer(
        adapters.from_linen(SmallNet(norm)), train.make_optimizer("sgd", 0.05, momentum=0.9), batch_size=16
    )


@pytest.fixture(scope="session")
def trained(trainer, synthetic):
    """A state that has taken a few steps, so that no statistic is at its initial value."""
    start = train.init_state(trainer, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    return train.run_steps(trainer, start, synthetic.train, num_steps=3)[0]


@pytest.fixture
def state(trained):
    """A copy of it, to be given away."""
    return jax.tree.map(jnp.copy, trained)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """Return a function that returns the results of a tiny run which nothing disturbs, by default of one seed."""
    import tiny

    results = {}

    def make(*arguments):
        arguments = arguments or ("--schedule.num-steps", "60", "--seeds", "0")
        if arguments not in results:
            results[arguments] = tmp_path_factory.mktemp("undisturbed")
            assert tiny.call(results[arguments], "--checkpoint-seconds", "0", *arguments) == 0
        return results[arguments]

    return make


@pytest.fixture(scope="session")
def smoke_results(tmp_path_factory):
    """A folder in which every experiment is run in seconds, once for all tests that need it."""
    return tmp_path_factory.mktemp("smoke")
