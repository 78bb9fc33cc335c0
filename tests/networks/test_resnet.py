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


@pytest.mark.parametrize(("blocks", "count"), [(9, 11_378_179), (6, 7_837_699)])
def test_parameter_count_matches_the_paper(blocks: int, count: int) -> None:
    with torch.device("meta"):
        network = ResnetGenerator(blocks=blocks)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_resize_upsampling_repeats_pixels_then_convolves() -> None:
    """As in PyTorch-GAN: nearest ×2, then a 3 × 3 convolution with a zero padding of 1."""
    network = ResnetGenerator(width=2, blocks=0, upsampling="resize")
    features = torch.randn(1, 8, 3, 3)
    weights = network.state_dict()
    assert [key for key in weights if key.startswith("model.11")] == ["model.11.weight", "model.11.bias"]
    repeated = features.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    expected = torch.conv2d(repeated, weights["model.11.weight"], weights["model.11.bias"], padding=1)
    torch.testing.assert_close(network.model[10:12](features), expected)


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_every_layer_keeps_channels_last(upsampling: Upsampling) -> None:
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
def test_checkpointed_training_is_bit_identical(norm: Norm, dropout: float, upsampling: Upsampling) -> None:
    """Compare weights, Adam's moments and the random state after three steps of CycleGAN."""

    def trained(activation_checkpointing: bool) -> tuple[Any, ...]:
        generator = partial(
            ResnetGenerator, width=4, blocks=2, norm=norm, dropout=dropout, upsampling=upsampling,
            activation_checkpointing=activation_checkpointing,
        )  # fmt: skip
        model = small_cyclegan(generator=generator)
        calls = calls_of_blocks(model.gen_ab)
        trainer = fit(model, random_batches(3, size=2))
        optimizer = trainer.optimizers[0].state_dict()["state"]
        return len(calls), (trainer.callback_metrics, model.state_dict(), optimizer, torch.get_rng_state())

    (plain_calls, plain), (calls, checkpointed) = trained(False), trained(True)
    assert calls == 2 * plain_calls
    assert differences(plain, checkpointed) == []


def test_checkpointed_block_stores_only_its_input() -> None:
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


def test_evaluation_computes_blocks_once() -> None:
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
