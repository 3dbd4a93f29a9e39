"""Values read off Santurkar et al. 2018, Fig. 4 and 11a, for their VGG: medians over windows of steps, or all steps."""

from experiments._figures.panels import Published, Window

_STEPS = ((80, 1000), (1000, 2500), (2500, 3500), (4500, 5500), (9000, 11_000), (13_500, 15_000))


def _windows(*ranges: tuple[float, float]) -> list[Window]:
    return [Window(*steps, *ends) for steps, ends in zip(_STEPS, ranges, strict=True)]


# In nats, including the L2 penalty in their loss.
LOSS = {
    "plain": _windows((3.3, 4.7), (2.4, 4.9), (1.8, 4.8), (1.4, 3.5), (0.99, 1.12), (0.73, 0.82)),
    "batch_norm": _windows((2.2, 2.7), (1.8, 2.25), (1.6, 2.0), (1.36, 1.44), (0.91, 1.02), (0.67, 0.78)),
}
CHANGE = {
    "plain": _windows((9, 53), (12.5, 86), (12.6, 104), (17, 67), (6, 22), (6, 17)),
    "batch_norm": _windows((14, 29), (14, 25), (16, 27), (9, 13), (10, 16), (9, 14.5)),
}
SMOOTHNESS = {
    net: _windows(*((value, value) for value in values))
    for net, values in {
        "plain": (22, 21, 21, 20, 20, 20),
        "batch_norm": (16.8, 19.4, 19.9, 19.9, 20.0, 20.0),
    }.items()
}
LEARNING_RATE = 0.1
_SIZES = (0.05, 0.1, 0.2, 0.4)
_BY_SIZE = {"plain": (10.8, 12.6, 19, 47), "batch_norm": (11.6, 11.7, 14, 22)}


def by_size(net: str) -> Published:
    """Return the median change of the gradient at each step size, over the whole training."""
    return Published("Santurkar et al. 2018, Fig. 11a", {net: (_SIZES, _BY_SIZE[net])})
