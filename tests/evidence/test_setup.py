"""What a number was measured on, in words, and which of several data files decides a claim."""

import math
from dataclasses import replace

import pytest
from records import make_run

from experiments._evidence.claim import Claim, claims
from experiments._evidence.compare import share_above
from experiments._evidence.drift import over_layers
from experiments._evidence.quantities import TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.setup import config_of, setup
from experiments._evidence.source import SANTURKAR, Source
from experiments._evidence.statistic import NotInDataError
from experiments._evidence.value import Missing
from experiments._evidence.verdict import judge, judge_best
from experiments._nets import learning_rate

END = TEST_ACCURACY.at_end().minus("batch_norm", "plain")


def make_data(accuracies, steps=3, width=0.125):
    """Make data of a net with batch norm that is ahead by so much, seed by seed, of a plain net that guesses."""
    model = {"depth": "A", "head": "512", "width": width}
    arms = {
        net: [make_run(seed, [0.1 + ahead * value] * steps) for seed, value in enumerate(accuracies)]
        for net, ahead in (("plain", 0), ("batch_norm", 1))
    }
    return {"config": {"model": model, "data": {"dataset": "cifar10"}}, "arms": arms}


def test_words():
    """The net and its width, the data, the steps that runs took, and the seeds."""
    data = make_data([0.1, 0.2, 0.3])
    assert setup(END, data, 3).words == "VGG-A, width 1/8, CIFAR-10, 3 steps, 3 seeds"
    assert setup(END, data, 0).words == "VGG, CIFAR-10"
    data["arms"]["plain"][0] = make_run(0, [0.1] * 5)
    assert setup(END, data, 3).steps == (3, 5)
    perceptron = {"config": {"model": {"hidden": [100, 100], "width": 1}, "data": {"dataset": "mnist"}}, "arms": {}}
    assert setup(END, perceptron, 3).words == "Perceptron of 2 hidden layers of 100 units, MNIST, 3 seeds"
    perceptron["config"]["model"]["activation"] = "sigmoid"
    assert setup(END, perceptron, 3).net == "Perceptron of 2 hidden layers of 100 sigmoid units, MNIST"
    assert setup(END, perceptron, 0).words == "Perceptron, MNIST"
    linear = {"config": {"vgg": {}, "deep_linear": {"model": {"depth": 25}}}, "deep_linear": {"plain": [make_run()]}}
    statistic = TEST_ACCURACY.at_end().each("plain", group="deep_linear")
    assert setup(statistic, linear, 10).words == "Deep linear network of 25 layers, 3 steps, 10 draws"
    assert setup(END, {"config": {}}, 0).words == ""


def test_training_in_words():
    """Optimiser, learning rate and batch size; the batch size alone where the nets that are counted have several rates."""
    data = make_data([0.1, 0.2, 0.3])
    optimizer = {"name": "sgd", "learning_rate": 1e-6, "momentum": 0.9, "weight_decay": 5e-4, "batch_size": 1000}
    data["config"]["optimizer"] = optimizer
    words = "SGD with momentum 0.9, learning rate 1e-6, weight decay 0.0005, batch 1,000"
    assert setup(END, data, 3).words == f"VGG-A, width 1/8, CIFAR-10, {words}, 3 steps, 3 seeds"
    assert setup(END, data, 0).training == ""
    optimizer |= {"name": "adam", "momentum": 0.0, "weight_decay": 0.0}
    assert setup(END, data, 3).training == "Adam, learning rate 1e-6, batch 1,000"
    assert setup(replace(END, arms=("arms",)), data, 3).training == "batch 1,000"
    at_rate = TEST_ACCURACY.at_end().each("plain", learning_rate(0.1))
    data["arms"] = {"plain_0.1": data["arms"]["plain"]}
    assert setup(at_rate, data, 3).training == "batch 1,000"


def test_a_field_of_a_groups_name_that_is_no_run():
    """A list of settings may be called as the group is that they make: the nets are the experiment's VGGs."""
    vgg = {"model": {"depth": "A", "width": 0.125}, "data": {"dataset": "cifar10"}}
    assert config_of({"config": {"vgg": vgg, "starts": ["x1", "x10"]}}, "starts") == vgg
    assert config_of({"config": {"vgg": {}, "line": vgg}}, "line") == vgg


def test_what_nets_differ_in_is_left_out():
    """Activations where the experiment varies them, batch sizes and learning rates where nets are named after batch sizes."""
    model = {"hidden": [100, 100], "activation": "relu"}
    config = {"model": model, "optimizer": {"name": "sgd", "learning_rate": 0.1, "batch_size": 128}}
    data = {"config": {"mlp": config}, "mlp": {"plain": [make_run()]}}
    statistic = TEST_ACCURACY.at_end().each("plain", group="mlp")
    net = "Perceptron of 2 hidden layers of 100"
    assert setup(statistic, data, 1).words == f"{net} ReLU units, SGD, learning rate 0.1, batch 128, 3 steps, 1 seed"
    data["config"]["activations"] = ["relu", "tanh"]
    assert setup(statistic, data, 1).words == f"{net} units, SGD, learning rate 0.1, batch 128, 3 steps, 1 seed"
    data["config"]["batch_sizes"] = [2, 8]
    assert setup(statistic, data, 1).words == f"{net} units, SGD, learning rate 0.1, batch 128, 3 steps, 1 seed"
    data["mlp"]["plain_batch_2"] = data["mlp"].pop("plain")
    sized = replace(statistic, arms=("mlp/plain_batch_2",))
    assert setup(sized, data, 1).words == f"{net} units, 3 steps, 1 seed"


def test_residual_networks_in_words():
    """By their depth and width."""
    resnet = {"model": {"num_blocks": 3, "width": 16}, "data": {"dataset": "cifar10"}}
    data = {"config": {"resnet": resnet}, "resnet": {"plain": [make_run()]}}
    statistic = TEST_ACCURACY.at_end().each("plain", group="resnet")
    assert setup(statistic, data, 1).words == "ResNet-20 of width 16, CIFAR-10, 3 steps, 1 seed"
    assert setup(statistic, data, 0).words == "ResNet, CIFAR-10"


@pytest.mark.parametrize(("layers", "words"), [((3,), "layer 3"), ((3, 8, 10), "layers 3, 8 and 10")])
def test_followed_layers_in_words(layers, words):
    """A drift names the layers that the data have, and what of them was followed."""
    data = make_data([0.1, 0.2, 0.3])
    data["config"]["probes"] = {"drift": {"of": "activations"}}
    for run in data["arms"]["plain"]:
        run["drift"] = {"step": [0], "layers": {f"layer_{layer}": {} for layer in layers}}
    statistic = over_layers(min, "plain", "batch_norm", "mean")
    assert setup(statistic, data, 3).part == f"activations of {words}"
    assert setup(statistic / statistic, data, 3).part == f"activations of {words}"
    data["config"]["probes"]["drift"]["of"] = "preactivations"
    assert setup(statistic, data, 3).part == f"pre-activations of {words}"
    assert setup(statistic, data, 0).part == ""


def test_the_widest_then_the_longest_data_decide():
    """Of three runs or more; what has fewer stands beside them with its number, and neither decides nor undoes."""
    claim = Claim("S.", "s", END.above(0))
    files = {
        "cpu": make_data([-0.1, -0.1, -0.1], 9),
        "overnight": make_data([0.1, 0.2, 0.3], 4, 0.25),
        "longer": make_data([0.2, 0.3, 0.4], 6, 0.25),
        "full": make_data([-0.5], 9, 1.0),
    }
    name, judgement = judge_best(claim, files)
    assert (name, judgement.verdict) == ("longer", "supported")
    assert judgement.setup.words.startswith("VGG-A, width 1/4, CIFAR-10, 6 steps")
    (beside,) = judgement.beside
    assert (beside.setup.words, beside.median) == ("VGG-A, full width, CIFAR-10, 9 steps, 1 seed", -0.5)
    assert beside.setup.size == "full width, 9 steps, 1 seed"
    name, judgement = judge_best(claim, {"full": files["full"]})
    assert (name, judgement.verdict, judgement.reason) == ("full", "inconclusive", "1 seed, not judged")
    assert judgement.beside == ()


def test_the_order_of_equally_large_data_decides_nothing():
    """If their verdicts differ, the claim is open; they were judged, so that they do not stand beside it."""
    claim = Claim("S.", "s", END.above(0))
    files = {"one": make_data([0.1, 0.2, 0.3]), "other": make_data([0.2, 0.3, 0.4])}
    name, judgement = judge_best(claim, files)
    assert (name, judgement.verdict) == ("one", "supported")
    assert judgement.beside == ()
    for values in ((0.1, -0.1), (-0.1, 0.1)):
        found = judge_best(claim, {str(value): make_data([value] * 3) for value in values})[1]
        assert (found.verdict, found.reason) == ("inconclusive", "runs of the same size disagree")


def test_data_that_lack_a_window_do_not_decide():
    """Narrow data that cover the window are taken before wide ones that do not."""
    claim = Claim("S.", "s", TRAIN_ACCURACY.at(6, 1).minus("batch_norm", "plain").above(0))
    files = {"wide": make_data([0.1] * 3, 4, 1.0), "narrow": make_data([0.1] * 3, 9)}
    assert judge_best(claim, files)[0] == "narrow"
    name, judgement = judge_best(claim, {"wide": files["wide"]})
    assert (name, judgement.reason) == ("wide", "needs 6 steps, ran 4")
    assert claim.statistic.until == 6
    # Where none decides, data that meet the needs say what they lack, however few their runs are.
    wide = claim.statistic.where("model.width", 1.0, "full width").above(0)
    files = {"narrow": make_data([0.1] * 3, 9), "wide": make_data([0.1], 4, 1.0)}
    name, judgement = judge_best(Claim("S.", "s", wide), files)
    assert (name, judgement.reason) == ("wide", "needs 6 steps, ran 4")


def test_what_is_in_doubt_is_not_contradicted():
    """Values outside the range of a claim whose set-up cannot be that of its source leave it open, and say why."""
    data = make_data([-0.1, -0.1, -0.1])
    assert judge(Claim("S.", "s", END.above(0)), data).verdict == "contradicted"
    judgement = judge(Claim("S.", "s", END.above(0), in_doubt="it lies elsewhere"), data)
    assert (judgement.verdict, judgement.reason) == ("inconclusive", "it lies elsewhere")


def test_share_of_measurements():
    """At how many of the shared measurements one net is above another; of too short runs nothing is known."""
    runs = {"plain": [make_run(0, [0.1, 0.5, 0.3])], "batch_norm": [make_run(0, [0.2, 0.4, None])]}
    assert share_above(TRAIN_ACCURACY, "batch_norm", "plain").of({"arms": runs}) == {0: 0.5}
    assert share_above(TRAIN_ACCURACY, "batch_norm", "plain", first=1).of({"arms": runs}) == {0: 0.0}
    assert share_above(TRAIN_ACCURACY, "batch_norm", "plain", last=2).of({"arms": runs}) == {0: 0.5}
    short = share_above(TRAIN_ACCURACY, "batch_norm", "plain", last=9).of({"arms": runs})[0]
    assert isinstance(short, Missing)
    assert short.reason == "needs 9 steps, ran 3"
    assert math.isnan(short)
    with pytest.raises(NotInDataError, match="no runs of batch norm"):
        share_above(TRAIN_ACCURACY, "batch_norm", "plain").of({"arms": {}})


def test_claims_speak_as_their_subject_does():
    """Unless they say it themselves, or name a hypothesis of their own, for which they have to say it."""
    own = claims(
        "smoothness",
        "2026-11-21",
        "for, else against",
        usual=Claim("S.", "s", END.above(0)),
        other=Claim("S.", "s", END.above(0), speaks="against"),
        control=Claim("S.", "s", END.above(0), speaks="neither"),
        elsewhere=Claim("S.", "s", END.above(0), hypothesis="distributions"),
    )
    assert [claim.speaks for claim in own] == ["for, else against", "against", "neither", None]
    assert [claim.side(holds=True) for claim in own] == ["for", "against", None, None]
    assert [claim.side(holds=False) for claim in own] == ["against", None, None, None]


def test_sources_and_fields():
    """A string is a comparison of ours; wrong origins, hypotheses and days are refused, each in one line."""
    assert Claim("S.", "s", END.above(0)).origin == "ours"
    assert Claim("S.", SANTURKAR.at("Fig. 1"), END.above(0)).origin == "paper"
    assert str(SANTURKAR.at("Fig. 1")) == "Santurkar et al. 2018, Fig. 1, arxiv.org/abs/1805.11604"
    (one,) = claims("smoothness", "2026-11-21", one=Claim("S.", "s", END.above(0)))
    assert (one.name, one.hypothesis, one.since) == ("one", "smoothness", "2026-11-21")
    with pytest.raises(ValueError, match=r"origin must be one of paper, .* got 'rumour'"):
        Source("s", "rumour")
    with pytest.raises(ValueError, match=r"hypothesis must be one of .* got 'luck'"):
        Claim("S.", "s", END.above(0), hypothesis="luck")
    with pytest.raises(ValueError, match=r"speaks of one must be one of .* got 'maybe'"):
        Claim("S.", "s", END.above(0), speaks="maybe", name="one")
    with pytest.raises(ValueError, match="isoformat"):
        Claim("S.", "s", END.above(0), since="yesterday")
