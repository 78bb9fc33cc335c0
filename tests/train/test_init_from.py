"""init_from: weights of other checkpoints, network by network, with a report."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from cyclegan.errors import CheckpointError, RunError
from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.networks.patchgan import PatchDiscriminator
from cyclegan.networks.resnet import ResnetGenerator
from cyclegan.networks.strided import StridedDiscriminator
from cyclegan.train.init_from import initialise
from tests.checkpoint.published_layouts import resnet
from tests.small import small_cyclegan
from tests.tiny_run import differences


def state(model: CycleGAN) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def of(network: str, weights: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in weights.items() if name.startswith(f"{network}.")}


def saved(path: Path, weights: dict[str, Any], **entries: Any) -> Path:
    torch.save({"state_dict": weights, **entries}, path)
    return path


def test_one_checkpoint_gives_every_network_its_weights_and_not_its_average(tmp_path: Path) -> None:
    theirs = state(small_cyclegan(1))
    average = {name.removeprefix("gen_ab."): torch.zeros_like(t) for name, t in of("gen_ab", theirs).items()}
    path = saved(tmp_path / "a.ckpt", theirs, ema={"gen_ab": average})
    model = small_cyclegan(2)
    lines = initialise(model, path)
    assert differences(state(model), theirs) == []
    counts = {name: len(of(name, theirs)) for name in ("gen_ab", "gen_ba", "disc_a", "disc_b")}
    assert lines == [f"{name:10}{count} of {count} tensors" for name, count in counts.items()]


def test_each_network_may_have_a_checkpoint_of_its_own(tmp_path: Path) -> None:
    one, other = state(small_cyclegan(1)), state(small_cyclegan(2))
    sources: dict[str, str | Path] = {
        "gen_ab": saved(tmp_path / "a.ckpt", one),
        "disc_b": str(saved(tmp_path / "b.ckpt", other)),
    }
    model = small_cyclegan(3)
    drawn = state(model)
    lines = initialise(model, OmegaConf.create(sources))  # as the command line gives a mapping
    expected = {"gen_ab": one, "gen_ba": drawn, "disc_a": drawn, "disc_b": other}
    for network, source in expected.items():
        assert differences(of(network, state(model)), of(network, source)) == [], network
    assert lines[1] == "gen_ba    initial weights: init_from does not name it"


def test_fitting_tensors_are_taken_and_the_others_reported(tmp_path: Path) -> None:
    theirs = {name: value for name, value in state(small_cyclegan(1)).items() if not name.startswith("disc_b.")}
    theirs["disc_a.model.0.weight"] = torch.zeros(5, 3, 4, 4)
    del theirs["gen_ba.model.1.weight"]
    theirs["gen_ba.extra"] = torch.zeros(2)
    model = small_cyclegan(2)
    drawn = state(model)
    lines = dict(line.split(maxsplit=1) for line in initialise(model, saved(tmp_path / "a.ckpt", theirs)))

    generator, discriminator = len(of("gen_ab", drawn)), len(of("disc_a", drawn))
    assert lines == {
        "gen_ab": f"{generator} of {generator} tensors",
        "gen_ba": f"{generator - 1} of {generator} tensors; 1 missing (model.1.weight); 1 unexpected (extra)",
        "disc_a": f"{discriminator - 1} of {discriminator} tensors; "
        "1 of another shape (model.0.weight (4, 3, 4, 4) here, (5, 3, 4, 4) there)",
        "disc_b": f"0 of {discriminator} tensors; {discriminator} missing (model.0.weight, model.0.bias, "
        f"model.2.weight, … {discriminator - 3} more)",
    }
    untouched = {"disc_a.model.0.weight", "gen_ba.model.1.weight", *of("disc_b", drawn)}
    expected = {name: drawn[name] if name in untouched else theirs[name] for name in drawn}
    assert differences(state(model), expected) == []


def test_running_statistics_of_batch_norm_are_taken(tmp_path: Path) -> None:
    batch_norm = partial(PatchDiscriminator, width=4, layers=2, norm="batch")
    theirs = state(small_cyclegan(1, discriminator=batch_norm))
    statistics = [name for name in theirs if name.endswith("running_mean")]
    for name in statistics:
        theirs[name] += 3
    model = small_cyclegan(2, discriminator=batch_norm)
    initialise(model, saved(tmp_path / "a.ckpt", theirs))
    assert statistics
    assert all(torch.equal(model.state_dict()[name], theirs[name]) for name in statistics)


def assert_refused_unchanged(source: Any, error: type[Exception], *texts: str) -> None:
    model = small_cyclegan(2)
    drawn = state(model)
    with pytest.raises(error) as raised:
        initialise(model, source)
    for text in texts:
        assert text in str(raised.value)
    assert differences(state(model), drawn) == []


def test_unsuitable_sources_are_refused(tmp_path: Path) -> None:
    wide = state(small_cyclegan(1, generator=partial(ResnetGenerator, width=6, blocks=1)))
    path = saved(tmp_path / "wide.ckpt", {"gen_ab.model.1.weight": wide["gen_ab.model.1.weight"]})
    none_fits = f"no weight in {path} fits gen_ab (0 of "
    assert_refused_unchanged(path, RunError, none_fits, "Give the generator and discriminator of the run that wrote it")

    path = saved(tmp_path / "a.ckpt", state(small_cyclegan(1)))
    networks = "the networks of this model are gen_ab, gen_ba, disc_a, disc_b"
    assert_refused_unchanged({"gen_ab": path, "netG_A": path}, RunError, "init_from names netG_A;", networks)
    assert_refused_unchanged({}, RunError, "init_from names no network;", networks)
    # The second file is missing: the first one's weights are not taken either.
    assert_refused_unchanged({"gen_ab": path, "gen_ba": tmp_path / "gone.ckpt"}, CheckpointError, "gone.ckpt")

    torch.save({f"entry{n}": n for n in range(5)}, path)
    held = "it holds entry0, entry1, entry2, … 2 more"
    assert_refused_unchanged(path, RunError, f"{path} has no entry state_dict", held)

    torch.save(small_cyclegan(1).gen_ab.state_dict(), path)
    named = f"{path} is a state dict of one network; name it: 'init_from={{gen_ab: {path}}}'"
    assert_refused_unchanged(path, RunError, named)


@pytest.mark.parametrize("wrapper", ["", "module._orig_mod."])
def test_the_authors_generator_is_taken_by_the_network_that_names_it(tmp_path: Path, wrapper: str) -> None:
    theirs = small_cyclegan(2).gen_ab.state_dict()  # tests/networks/test_resnet.py compares its names with the authors'
    statistics = {f"model.2.{name}": torch.zeros(4) for name in ("running_mean", "running_var")}  # of torch 0.3
    content = {f"{wrapper}{name}": value for name, value in (theirs | statistics).items()}
    torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=False)
    model = small_cyclegan(1)
    drawn = state(model)
    lines = initialise(model, {"gen_ab": tmp_path / "net.pth"})
    count = len(theirs)
    assert lines[0] == f"gen_ab    {count} of {count} tensors; 2 running statistics of instance norm dropped"
    assert differences(model.gen_ab.state_dict(), theirs) == []
    assert differences(of("gen_ba", state(model)), of("gen_ba", drawn)) == []


def test_statistics_of_batch_norm_are_not_dropped(tmp_path: Path) -> None:
    batch_norm = ResnetGenerator(width=4, blocks=1, norm="batch").state_dict()
    torch.save(batch_norm, tmp_path / "net.pth")
    line = initialise(small_cyclegan(1), {"gen_ab": tmp_path / "net.pth"})[0]
    unexpected = [name for name in batch_norm if name not in small_cyclegan().gen_ab.state_dict()]
    assert f"{len(unexpected)} unexpected" in line
    assert "dropped" not in line


def test_a_folder_stands_for_its_best_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    best = state(small_cyclegan(1))
    saved(tmp_path / "run" / "checkpoints" / "last.ckpt", state(small_cyclegan(2)))
    saved(tmp_path / "run" / "checkpoints" / "best.ckpt", best)
    model = small_cyclegan(3)
    initialise(model, tmp_path / "run")
    assert differences(state(model), best) == []


def test_a_folder_of_the_authors_code_gives_all_networks_theirs(tmp_path: Path) -> None:
    """The authors' D_A judges what G_A makes, images of B."""
    theirs = small_cyclegan(2)
    files = {"G_A": theirs.gen_ab, "G_B": theirs.gen_ba, "D_A": theirs.disc_b, "D_B": theirs.disc_a}
    for name, network in files.items():
        torch.save(network.state_dict(), tmp_path / f"latest_net_{name}.pth")
    model = small_cyclegan(1)
    lines = initialise(model, tmp_path)
    assert differences(state(model), state(theirs)) == []
    assert len(lines) == 4


def test_the_networks_of_pytorch_gan_are_taken(tmp_path: Path) -> None:
    strided = partial(StridedDiscriminator, widths=(2, 4, 6, 8))
    model = small_cyclegan(discriminator=strided, generator=partial(ResnetGenerator, width=4, upsampling="resize"))
    their_discriminator = nn.Sequential(
        nn.Conv2d(3, 2, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(2, 4, 4, 2, 1), nn.InstanceNorm2d(4), nn.LeakyReLU(0.2),
        nn.Conv2d(4, 6, 4, 2, 1), nn.InstanceNorm2d(6), nn.LeakyReLU(0.2),
        nn.Conv2d(6, 8, 4, 2, 1), nn.InstanceNorm2d(8), nn.LeakyReLU(0.2),
        nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(8, 1, 4, padding=1),
    )  # fmt: skip
    weights = {f"model.{name}": value for name, value in their_discriminator.state_dict().items()}
    torch.save(weights, tmp_path / "D_B.pth")
    their_generator = resnet(4, 9, resize=True)
    blocks = {name.replace("conv_block", "block"): value for name, value in their_generator.state_dict().items()}
    torch.save(blocks, tmp_path / "G_AB.pth")
    initialise(model, {"gen_ab": tmp_path / "G_AB.pth", "disc_b": tmp_path / "D_B.pth"})
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(model.disc_b(images), their_discriminator(images))
    torch.testing.assert_close(model.gen_ab(images), their_generator(images), atol=1e-5, rtol=0)
