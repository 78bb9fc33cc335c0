"""init_from: weights of other checkpoints, network by network, with a report."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from cyclegan.errors import CheckpointError, RunError
from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.networks.patchgan import PatchDiscriminator
from cyclegan.networks.resnet import ResnetGenerator
from cyclegan.train.init_from import initialise
from tests.small import small_cyclegan
from tests.tiny_run import differences

WIDE = partial(ResnetGenerator, width=6, blocks=1)
DEEPER = partial(ResnetGenerator, width=4, blocks=2)


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
    assert differences(state(model), theirs) != []
    lines = initialise(model, path)
    assert differences(state(model), theirs) == []
    generator, discriminator = (sum(name.startswith(n) for name in theirs) for n in ("gen_ab.", "disc_a."))
    assert lines == [
        f"gen_ab    all {generator} tensors",
        f"gen_ba    all {generator} tensors",
        f"disc_a    all {discriminator} tensors",
        f"disc_b    all {discriminator} tensors",
    ]
    assert all(p.requires_grad for p in model.parameters())


def test_each_network_may_have_a_checkpoint_of_its_own(tmp_path: Path) -> None:
    one, other = state(small_cyclegan(1)), state(small_cyclegan(2))
    sources: dict[str, str | Path] = {
        "gen_ab": saved(tmp_path / "a.ckpt", one),
        "disc_b": str(saved(tmp_path / "b.ckpt", other)),
    }
    model = small_cyclegan(3)
    drawn = state(model)
    lines = initialise(model, OmegaConf.create(sources))  # what the command line makes of a mapping
    expected = {"gen_ab": one, "gen_ba": drawn, "disc_a": drawn, "disc_b": other}
    for network, source in expected.items():
        assert differences(of(network, state(model)), of(network, source)) == [], network
    assert lines[1:3] == [
        "gen_ba    left as drawn: init_from does not name it",
        "disc_a    left as drawn: init_from does not name it",
    ]


def test_fitting_tensors_are_taken_and_the_others_reported(tmp_path: Path) -> None:
    theirs = state(small_cyclegan(1))
    first = "disc_a.model.0.weight"
    assert theirs[first].shape == (4, 3, 4, 4)
    theirs[first] = torch.zeros(5, 3, 4, 4)
    theirs = {name: value for name, value in theirs.items() if not name.startswith("disc_b.")}
    del theirs["gen_ba.model.1.weight"]
    theirs["gen_ba.extra"] = torch.zeros(2)
    model = small_cyclegan(2)
    drawn = state(model)
    lines = dict(line.split(maxsplit=1) for line in initialise(model, saved(tmp_path / "a.ckpt", theirs)))

    generator, discriminator = len(of("gen_ab", drawn)), len(of("disc_a", drawn))
    assert lines["gen_ab"] == f"all {generator} tensors"
    assert lines["gen_ba"] == (
        f"{generator - 1} of {generator} tensors; 1 missing (model.1.weight); 1 unexpected (extra)"
    )
    assert lines["disc_a"] == (
        f"{discriminator - 1} of {discriminator} tensors; "
        "1 of another shape (model.0.weight (4, 3, 4, 4) here, (5, 3, 4, 4) there)"
    )
    names = [name.removeprefix("disc_b.") for name in of("disc_b", drawn)]
    more = f", … {len(names) - 3} more" if len(names) > 3 else ""
    assert lines["disc_b"] == f"left as drawn: {len(names)} missing ({', '.join(names[:3])}{more})"
    untouched = {first, "gen_ba.model.1.weight", *of("disc_b", drawn)}
    expected = {name: drawn[name] if name in untouched else theirs[name] for name in drawn}
    assert differences(state(model), expected) == []


def test_running_statistics_of_batch_norm_come_along(tmp_path: Path) -> None:
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


def test_a_checkpoint_without_any_fitting_tensor_is_refused(tmp_path: Path) -> None:
    theirs = state(small_cyclegan(1, generator=WIDE))
    # Biases of the last layer count the image's channels, and so fit any width.
    misfits = {n: t for n, t in of("gen_ab", theirs).items() if t.shape != small_cyclegan().state_dict()[n].shape}
    path = saved(tmp_path / "a.ckpt", misfits)
    assert_refused_unchanged(
        path, RunError, f"no weight in {path} fits gen_ab (left as drawn: ", f"{len(misfits)} of another shape",
        "Give the generator and discriminator of the run that wrote it",
    )  # fmt: skip


def test_missing_networks_and_files_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ckpt", state(small_cyclegan(1)))
    networks = "the networks of this model are gen_ab, gen_ba, disc_a, disc_b"
    assert_refused_unchanged({"gen_ab": path, "netG_A": path}, RunError, "init_from names netG_A;", networks)
    assert_refused_unchanged({}, RunError, "init_from names no network;", networks)
    # The second file is missing: the first one's weights are not taken either.
    assert_refused_unchanged({"gen_ab": path, "gen_ba": tmp_path / "gone.ckpt"}, CheckpointError, "gone.ckpt")


def test_a_file_without_weights_is_refused_with_its_entries(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({f"entry{n}": n for n in range(5)}, path)
    held = "it holds entry0, entry1, entry2, … 2 more"
    assert_refused_unchanged(path, RunError, f"{path} has no entry state_dict", held)


def authors_generator(width: int, blocks: int) -> dict[str, torch.Tensor]:
    """A state dict of the authors' ResNet generator, with the names and shapes of their published files."""
    rng = torch.Generator().manual_seed(0)
    layers = {"model.1": (width, 3, 7, 7), "model.4": (2 * width, width, 3, 3), "model.7": (4 * width, 2 * width, 3, 3)}
    for block in range(10, 10 + blocks):
        layers |= {f"model.{block}.conv_block.{conv}": (4 * width, 4 * width, 3, 3) for conv in (1, 5)}
    after = 10 + blocks  # transposed convolutions, whose weights are (in, out, k, k)
    layers |= {f"model.{after}": (4 * width, 2 * width, 3, 3), f"model.{after + 3}": (2 * width, width, 3, 3)}
    layers |= {f"model.{after + 7}": (3, width, 7, 7)}
    found: dict[str, torch.Tensor] = {}
    for name, shape in layers.items():
        outputs = shape[1] if name in (f"model.{after}", f"model.{after + 3}") else shape[0]
        found |= {
            f"{name}.weight": torch.rand(shape, generator=rng),
            f"{name}.bias": torch.rand(outputs, generator=rng),
        }
    return found


@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_the_authors_generator_is_taken_by_the_network_that_is_named(tmp_path: Path, wrapper: str) -> None:
    theirs = authors_generator(width=4, blocks=2)
    torch.save({f"{wrapper}{name}": value for name, value in theirs.items()}, tmp_path / "latest_net_G_A.pth")
    model = small_cyclegan(1, generator=DEEPER)
    drawn = state(model)
    lines = initialise(model, {"gen_ab": tmp_path / "latest_net_G_A.pth"})
    assert lines[0] == f"gen_ab    all {len(theirs)} tensors"
    assert differences(model.gen_ab.state_dict(), theirs) == []
    assert differences(of("gen_ba", state(model)), of("gen_ba", drawn)) == []


def test_a_file_of_torch_0_3_is_taken_without_the_statistics_of_instance_norm(tmp_path: Path) -> None:
    theirs = authors_generator(width=4, blocks=1)
    statistics = {
        f"{layer}.{name}": torch.zeros(4)
        for layer in ("model.2", "model.5")
        for name in ("running_mean", "running_var")
    }
    torch.save(theirs | statistics, tmp_path / "net.pth", _use_new_zipfile_serialization=False)
    model = small_cyclegan(1)
    lines = initialise(model, {"gen_ba": tmp_path / "net.pth"})
    assert lines[1] == f"gen_ba    all {len(theirs)} tensors; 4 running statistics of instance norm dropped"
    assert differences(model.gen_ba.state_dict(), theirs) == []


def test_statistics_of_batch_norm_are_not_dropped_unseen(tmp_path: Path) -> None:
    batch_norm = ResnetGenerator(width=4, blocks=1, norm="batch").state_dict()
    torch.save(batch_norm, tmp_path / "net.pth")
    line = initialise(small_cyclegan(1), {"gen_ab": tmp_path / "net.pth"})[0]
    unexpected = [name for name in batch_norm if name not in small_cyclegan().gen_ab.state_dict()]
    assert f"{len(unexpected)} unexpected" in line
    assert "dropped" not in line


def test_a_bare_state_dict_needs_the_name_of_its_network(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(authors_generator(width=4, blocks=1), path)
    assert_refused_unchanged(
        path, RunError, f"{path} is a state dict of one network; name it: 'init_from={{gen_ab: {path}}}'"
    )


def test_a_runs_folder_stands_for_its_best_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    best, last = state(small_cyclegan(1)), state(small_cyclegan(2))
    saved(tmp_path / "run" / "checkpoints" / "last.ckpt", last)
    model = small_cyclegan(3)
    initialise(model, tmp_path / "run")
    assert differences(state(model), last) == []
    saved(tmp_path / "run" / "checkpoints" / "best.ckpt", best)
    initialise(model, tmp_path / "run")
    assert differences(state(model), best) == []
