from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.networks.norm import Norm
from cyclegan.networks.resnet import ResnetBlock, ResnetGenerator, Upsampling
from tests.small import fit, random_batches, small_cyclegan
from tests.tiny_run import differences


def layer_names(network: nn.Module) -> list[str]:
    """Layers that hold weights, as a state dict names them."""
    return [key.removesuffix(".weight") for key in network.state_dict() if key.endswith(".weight")]


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("blocks", "count"), [(9, 11_378_179), (6, 7_837_699)])
def test_parameter_count_is_the_papers(blocks: int, count: int) -> None:
    with torch.device("meta"):
        assert parameter_count(ResnetGenerator(blocks=blocks)) == count


def test_the_defaults_are_the_papers_network() -> None:
    with torch.device("meta"):
        default = ResnetGenerator()
        explicit = ResnetGenerator(3, 3, 64, 9, "instance", 0.0, "transposed")
    assert str(default) == str(explicit)


# The names of the published weights, written out.
KEYS_9 = [
    "model.1", "model.4", "model.7",
    "model.10.conv_block.1", "model.10.conv_block.5",
    "model.11.conv_block.1", "model.11.conv_block.5",
    "model.12.conv_block.1", "model.12.conv_block.5",
    "model.13.conv_block.1", "model.13.conv_block.5",
    "model.14.conv_block.1", "model.14.conv_block.5",
    "model.15.conv_block.1", "model.15.conv_block.5",
    "model.16.conv_block.1", "model.16.conv_block.5",
    "model.17.conv_block.1", "model.17.conv_block.5",
    "model.18.conv_block.1", "model.18.conv_block.5",
    "model.19", "model.22", "model.26",
]  # fmt: skip
KEYS_6 = [
    "model.1", "model.4", "model.7",
    "model.10.conv_block.1", "model.10.conv_block.5",
    "model.11.conv_block.1", "model.11.conv_block.5",
    "model.12.conv_block.1", "model.12.conv_block.5",
    "model.13.conv_block.1", "model.13.conv_block.5",
    "model.14.conv_block.1", "model.14.conv_block.5",
    "model.15.conv_block.1", "model.15.conv_block.5",
    "model.16", "model.19", "model.23",
]  # fmt: skip
KEYS_6_DROPOUT = [key.replace("conv_block.5", "conv_block.6") for key in KEYS_6]


@pytest.mark.parametrize(("blocks", "dropout", "keys"), [(9, 0.0, KEYS_9), (6, 0.0, KEYS_6), (6, 0.5, KEYS_6_DROPOUT)])
def test_layers_are_named_as_in_the_published_weights(blocks: int, dropout: float, keys: list[str]) -> None:
    network = ResnetGenerator(width=1, blocks=blocks, dropout=dropout)
    assert layer_names(network) == keys
    # Instance norm keeps nothing, and every convolution has a bias.
    assert set(network.state_dict()) == {f"{key}.{part}" for key in keys for part in ("weight", "bias")}


def test_before_batch_norm_there_is_no_bias_but_at_the_end_there_is() -> None:
    network = ResnetGenerator(width=1, blocks=1, norm="batch")
    biased = [name for name, m in network.named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    assert biased == ["model.18"]


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
@pytest.mark.parametrize(("in_channels", "out_channels"), [(3, 3), (1, 3), (3, 1)])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_shape_and_range(
    norm: Norm, upsampling: Upsampling, in_channels: int, out_channels: int, dropout: float
) -> None:
    network = ResnetGenerator(in_channels, out_channels, 3, 1, norm, dropout, upsampling)
    translated = network(100 * torch.randn(2, in_channels, 12, 20))
    assert translated.shape == (2, out_channels, 12, 20)
    assert translated.abs().max() <= 1
    translated.mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_layers_are_those_of_the_recipe() -> None:
    """The whole network as a written-out formula on its own weights."""
    network = ResnetGenerator(width=2, blocks=1).double()
    images = torch.rand(2, 3, 16, 12, dtype=torch.float64) * 2 - 1
    weights = network.state_dict()
    reflect, norm, relu = nn.ReflectionPad2d, torch.nn.functional.instance_norm, torch.relu

    def conv(x: Tensor, key: str, stride: int = 1, padding: int = 0) -> Tensor:
        return torch.conv2d(x, weights[f"{key}.weight"], weights[f"{key}.bias"], stride, padding)

    def up(x: Tensor, key: str) -> Tensor:
        weight, bias = weights[f"{key}.weight"], weights[f"{key}.bias"]
        return torch.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)

    x = relu(norm(conv(reflect(3)(images), "model.1")))
    x = relu(norm(conv(x, "model.4", stride=2, padding=1)))
    x = relu(norm(conv(x, "model.7", stride=2, padding=1)))
    h = relu(norm(conv(reflect(1)(x), "model.10.conv_block.1")))
    x = x + norm(conv(reflect(1)(h), "model.10.conv_block.5"))
    x = relu(norm(up(x, "model.11")))
    x = relu(norm(up(x, "model.14")))
    expected = torch.tanh(conv(reflect(3)(x), "model.18"))
    torch.testing.assert_close(network(images), expected)


def test_resize_repeats_pixels_then_convolves() -> None:
    """The step up of PyTorch-GAN: nearest ×2, convolution k3 with one zero around."""
    network = ResnetGenerator(width=2, blocks=0, upsampling="resize")
    features = torch.randn(1, 8, 3, 3)
    weights = network.state_dict()
    assert [key for key in weights if key.startswith("model.11")] == ["model.11.weight", "model.11.bias"]
    repeated = features.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    expected = torch.conv2d(repeated, weights["model.11.weight"], weights["model.11.bias"], padding=1)
    torch.testing.assert_close(network.model[10:12](features), expected)


def test_a_block_without_weights_passes_its_input_through_unclipped() -> None:
    block = ResnetBlock(2, "instance", dropout=0.0)
    features = torch.randn(1, 2, 4, 4)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(block(features), features)  # negative values too: no ReLU after the sum


def test_dropout_stands_between_the_two_halves_of_a_block() -> None:
    half = ["ReflectionPad2d", "Conv2d", "GroupNorm"]
    layers = [type(layer).__name__ for layer in ResnetBlock(2, "instance", dropout=0.5).conv_block]
    assert layers == [*half, "ReLU", "Dropout", *half]


def test_dropout_is_active_only_in_training() -> None:
    network = ResnetGenerator(width=4, blocks=1, dropout=0.5)
    images = torch.randn(1, 3, 16, 16)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_channels_last_is_kept_from_the_first_layer_to_the_last(upsampling: Upsampling) -> None:
    network = ResnetGenerator(width=4, blocks=2, upsampling=upsampling).to(memory_format=torch.channels_last)
    contiguous: list[str] = []

    def note(name: str, output: Tensor) -> None:
        if not output.is_contiguous(memory_format=torch.channels_last):
            contiguous.append(name)

    for name, module in network.named_modules():
        module.register_forward_hook(lambda _, __, output, name=name: note(name, output))
    network(torch.randn(2, 3, 16, 16).to(memory_format=torch.channels_last))
    assert contiguous == []


# ------------------------------------------------------------------------------------ activation checkpointing


def calls_of_blocks(network: nn.Module) -> list[str]:
    """Return a list to which every call of a residual block appends its name."""
    calls: list[str] = []
    for name, module in network.named_modules():
        if isinstance(module, ResnetBlock):
            module.register_forward_pre_hook(lambda _, __, name=name: calls.append(name))
    return calls


@pytest.mark.parametrize(
    ("norm", "dropout", "upsampling"),
    [
        ("instance", 0.0, "transposed"),
        ("instance", 0.5, "transposed"),
        ("none", 0.0, "resize"),
    ],
)
def test_checkpointed_training_is_the_same_to_the_last_bit(norm: Norm, dropout: float, upsampling: Upsampling) -> None:
    """Compare weights, Adam's moments and the random state after three steps of CycleGAN."""

    def trained(activation_checkpointing: bool) -> tuple[Any, ...]:
        generator = partial(
            ResnetGenerator, width=4, blocks=2, norm=norm, dropout=dropout, upsampling=upsampling,
            activation_checkpointing=activation_checkpointing,
        )  # fmt: skip
        model = small_cyclegan(generator=generator)
        calls = calls_of_blocks(model.gen_ab)
        losses: list[Tensor] = []
        model.training_step = keeping(model.training_step, losses)  # type: ignore[method-assign]
        trainer = fit(model, random_batches(3, size=2))
        optimizer = trainer.optimizers[0].state_dict()["state"]
        return len(calls), (losses, model.state_dict(), optimizer, torch.get_rng_state())

    (plain_calls, plain), (calls, checkpointed) = trained(False), trained(True)
    assert calls == 2 * plain_calls
    assert len(plain[0]) == 3
    assert differences(plain, checkpointed) == []


def keeping(step: Callable[..., Tensor], losses: list[Tensor]) -> Callable[..., Tensor]:
    """Wrap the training step so that it appends its loss to a list."""

    def kept(*arguments: Any) -> Tensor:
        loss = step(*arguments)
        losses.append(loss.detach().clone())
        return loss

    return kept


def test_a_checkpointed_block_keeps_its_input_and_nothing_else() -> None:
    """Each block keeps one 8 × 8 float32 feature map with 16 channels: 4096 bytes."""

    def kept_bytes(blocks: int) -> int:
        network = ResnetGenerator(width=4, blocks=blocks, activation_checkpointing=True)
        weights = {parameter.data_ptr() for parameter in network.parameters()}
        kept: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> Tensor:
            if tensor.data_ptr() not in weights:
                kept[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            network(torch.rand(1, 3, 32, 32))
        return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())

    assert kept_bytes(blocks=5) - kept_bytes(blocks=2) == 3 * 16 * 8 * 8 * 4


def test_nothing_is_computed_twice_where_nothing_is_trained() -> None:
    network = ResnetGenerator(width=4, blocks=3, activation_checkpointing=True)
    calls = calls_of_blocks(network)
    images = torch.rand(1, 3, 16, 16, requires_grad=True)
    with torch.no_grad():
        network(images)
    network.eval()(images).mean().backward()
    assert len(calls) == 2 * 3
    network.train()(images).mean().backward()
    assert len(calls) == 4 * 3


def test_checkpointing_with_batch_norm_is_refused() -> None:
    with pytest.raises(UserError, match="activation_checkpointing would update batch norm twice"):
        ResnetGenerator(norm="batch", activation_checkpointing=True)
