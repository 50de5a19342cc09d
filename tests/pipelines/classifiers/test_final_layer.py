"""Tests for pipelines.classifiers.final_layer and .candidates, on shapes alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision import models

from pipelines.classifiers.candidates import Shape, layer_tensors
from pipelines.classifiers.final_layer import find_final_layer
from pipelines.errors import ArtifactError, MismatchError

TORCHVISION = {
    "alexnet": "classifier.6",
    "convnext_tiny": "classifier.2",
    "densenet121": "classifier",
    "efficientnet_b0": "classifier.1",
    "googlenet": "fc",
    "inception_v3": "fc",
    "maxvit_t": "classifier.5",
    "mnasnet0_5": "classifier.1",
    "mobilenet_v2": "classifier.1",
    "mobilenet_v3_small": "classifier.3",
    "resnet18": "fc",
    "resnet50": "fc",
    "shufflenet_v2_x0_5": "fc",
    "squeezenet1_1": "classifier.1",
    "swin_t": "head",
    "vgg11": "classifier.6",
    "vit_b_16": "heads.head",
}


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
@pytest.mark.parametrize("in_order", [True, False], ids=["model-order", "sorted"])
@pytest.mark.parametrize(("name", "layer"), TORCHVISION.items())
def test_finds_the_final_layer_of_torchvision(name: str, layer: str, in_order: bool) -> None:
    """No class list is needed, and no order: safetensors and TensorFlow sort their tensors."""
    with torch.device("meta"):
        tensors = models.get_model(name, weights=None).state_dict()
    names = list(tensors) if in_order else sorted(tensors)

    final = find_final_layer({name: tuple(tensors[name].shape) for name in names})

    assert final.chosen.layer == layer
    assert final.chosen.num_classes == 1000


@pytest.mark.parametrize(
    ("shapes", "layer"),
    [
        (
            {
                "InceptionV3/Mixed/Conv2d_0a_1x1/weights": (1, 1, 64, 32),
                "InceptionV3/AuxLogits/Conv2d_2b_1x1/weights": (1, 1, 768, 1001),
                "InceptionV3/AuxLogits/Conv2d_2b_1x1/biases": (1001,),
                "InceptionV3/Logits/Conv2d_1c_1x1/weights": (1, 1, 2048, 1001),
                "InceptionV3/Logits/Conv2d_1c_1x1/biases": (1001,),
            },
            "InceptionV3/Logits/Conv2d_1c_1x1",
        ),
        (
            {
                "logits/ExponentialMovingAverage/weights": (8, 5),
                "logits/ExponentialMovingAverage/biases": (5,),
                "logits/weights": (8, 5),
                "logits/biases": (5,),
                "fc7/weights": (8, 8),
                "fc7/biases": (8,),
            },
            "logits/ExponentialMovingAverage",
        ),
        (
            {
                "fc1/weights": (9, 8),
                "fc1/ExponentialMovingAverage/weights": (9, 8),
                "fc2/weights": (8, 5),
                "fc2/ExponentialMovingAverage/weights": (8, 5),
            },
            "fc2/ExponentialMovingAverage",
        ),
        ({"fc1.weight": (9, 8), "fc2.weight": (7, 9), "fc3.weight": (5, 7)}, "fc3"),
        ({"head.weight": (5, 8), "head_dist.weight": (5, 8)}, "head"),
        ({"blocks.0.mlp.fc1.weight": (32, 8), "mlp_head.1.weight": (5, 8)}, "mlp_head.1"),
    ],
)
def test_inner_and_auxiliary_layers_are_passed_over(shapes: dict[str, Shape], layer: str) -> None:
    """Auxiliary and plain heads beside an average, hidden and distillation layers are not it."""
    assert find_final_layer(shapes).chosen.layer == layer


def test_plain_variable_can_be_asked_for() -> None:
    """The reason says that the average was taken; naming the layer picks the plain variable."""
    shapes = {"logits/ExponentialMovingAverage/weights": (8, 5), "logits/weights": (8, 5)}

    assert "the moving average" in find_final_layer(shapes).reason
    assert find_final_layer(shapes, layer="logits").chosen.weight == "logits/weights"


def test_two_heads_are_not_guessed_between() -> None:
    """Equally likely layers are listed with their shapes, and the user is asked."""
    shapes = {"body.weight": (9, 9), "head.0.weight": (5, 8), "head.1.weight": (5, 6)}

    with pytest.raises(ArtifactError, match="2 layers could be the final one") as caught:
        find_final_layer(shapes, where="model.pth")

    assert "head.0 [5, 8]: 5 classes, 8 features" in str(caught.value)
    assert "--layer" in str(caught.value)
    assert find_final_layer(shapes, layer="head.0").chosen.width == 8


def test_class_count_settles_it() -> None:
    """The layer with as many classes as the list wins over one that is as well named."""
    shapes = {"head.0.weight": (5, 8), "head.1.weight": (7, 8)}
    assert find_final_layer(shapes, num_classes=5).chosen.layer == "head.0"


def test_layer_is_named_by_layer_or_weight() -> None:
    """Both names that a user can see are understood, and win over the scores."""
    shapes = {"aux.fc.weight": (5, 8), "aux.fc.bias": (5,), "fc.weight": (5, 8)}
    for name in ("aux.fc", "aux.fc.weight"):
        assert find_final_layer(shapes, layer=name).chosen.bias == "aux.fc.bias"


@pytest.mark.parametrize(
    ("layer", "problem"),
    [
        ("clasifier", "does not exist\nDid you mean 'classifier'"),
        ("conv", "is not a matrix or a 1x1 convolution\nLikeliest are:\n  classifier"),
    ],
)
def test_wrong_layer_is_answered_with_a_right_one(layer: str, problem: str) -> None:
    """A misspelt layer and one of the wrong kind have their own messages."""
    shapes = {"conv.weight": (4, 3, 3, 3), "classifier.weight": (5, 8)}
    with pytest.raises(MismatchError, match=problem):
        find_final_layer(shapes, layer=layer)


@pytest.mark.parametrize("shapes", [{}, {"conv.weight": (4, 3, 3, 3)}, {"fc.weight": (0, 8)}])
def test_source_without_a_matrix_is_refused(shapes: dict[str, Shape]) -> None:
    """There may be no linear layer at all."""
    with pytest.raises(ArtifactError, match="no floating-point tensor can be a final layer"):
        find_final_layer(shapes)


@pytest.mark.parametrize(
    ("shapes", "num_classes", "width"),
    [
        ({"fc.weight": (5, 8)}, 5, 8),  # PyTorch's customs
        ({"fc/kernel": (8, 5)}, 5, 8),  # TensorFlow's
        ({"fc.weight": (8, 5), "fc.bias": (5,)}, 5, 8),  # the bias against the customs
        ({"fc/kernel": (5, 8), "fc/bias": (5,)}, 5, 8),
        ({"fc.weight": (5, 8, 1, 1)}, 5, 8),
        ({"fc/weights": (1, 1, 8, 5)}, 5, 8),
        ({"fc/weights": (1, 1, 5, 5), "fc/biases": (5,)}, 5, 5),
        ({"zero_shot": (5, 8)}, 5, 8),
    ],
)
def test_classes_axis(shapes: dict[str, Shape], num_classes: int, width: int) -> None:
    """The bias tells classes from features, and without one the format does."""
    chosen = find_final_layer(shapes).chosen
    assert (chosen.num_classes, chosen.width) == (num_classes, width)


def test_class_list_turns_a_matrix_without_bias() -> None:
    """Text classifiers are stored either way round; the number of classes tells."""
    chosen = find_final_layer({"weight": (8, 5)}, num_classes=5).chosen
    assert (chosen.num_classes, chosen.rows_are_classes) == (5, False)


@given(
    num_classes=st.integers(1, 6),
    width=st.integers(7, 9),
    name=st.sampled_from(["fc.weight", "fc/weights", "fc/kernel"]),
    convolution=st.booleans(),
)
def test_rows_come_out_as_classes(
    num_classes: int, width: int, name: str, convolution: bool
) -> None:
    """However it is stored, row k of the result is class k's weight vector, in float32."""
    rows = torch.arange(float(num_classes * width)).reshape(num_classes, width).double()
    stored = rows if name == "fc.weight" else rows.T
    if convolution:
        stored = stored[:, :, None, None] if name == "fc.weight" else stored[None, None]
    tensors = {name: stored, name[:3] + "bias": torch.ones(num_classes).double()}

    final = find_final_layer({key: tuple(t.shape) for key, t in tensors.items()})
    weight, bias = layer_tensors(tensors, final.chosen)

    torch.testing.assert_close(weight, rows.float(), rtol=0, atol=0)
    assert bias is not None
    assert (bias.dtype, bias.shape) == (torch.float32, (num_classes,))
