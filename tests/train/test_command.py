"""The command line of cyclegan-train: the run folder, its protection and error messages."""

import locale
import logging
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from lightning_fabric.utilities.rank_zero import rank_zero_only

from cyclegan.train import command as train_command
from tests.command_line import Command, contents, measured, tiny
from tests.faults import in_use, largest_file
from tests.tiny_run import (
    STEPS_PER_EPOCH,
    StopAt,
    read_checkpoint,
    stop_at,
    training_rows,
)

REPOSITORY = Path(__file__).parents[2]


# ------------------------------------------------------------------------------------------ the run folder


def test_files_of_a_run_folder(command: Command, tmp_path: Path) -> None:
    words = measured("mine", "callbacks.checkpointing.keep_every_n_epochs=1")
    done = command(*words, "model.channels={A: 3, B: 3}")
    run = tmp_path / "runs" / "mine"
    assert done.code == 0
    last = "done      cyclegan-translate --checkpoint runs/mine --input FOLDER --output FOLDER"
    assert done.screen.splitlines()[-1] == last
    assert list(contents(run)) == [
        ".lock",
        "checkpoints/best.ckpt",
        "checkpoints/epoch0001.ckpt",
        "checkpoints/epoch0002.ckpt",
        "checkpoints/images000000006.ckpt",
        "checkpoints/images000000012.ckpt",
        "checkpoints/last.ckpt",
        "config.yaml",
        "metrics.csv",
        "samples/epoch0000.jpg",
        "samples/epoch0001.jpg",
        "samples/epoch0002.jpg",
        "train.log",
        "validation/epoch0000.csv",
        "validation/epoch0001.csv",
        "validation/epoch0002.csv",
        "validation/protocol.json",
    ]
    assert "epoch 2 of 2" in (run / "train.log").read_text()

    header, text = (run / "config.yaml").read_text().split("\n", 1)
    assert header.startswith("# cyclegan-train name=mine data.root=toy ")
    assert header.endswith(" 'model.channels={A: 3, B: 3}'"), "quoted for a shell"
    config = yaml.safe_load(text)
    assert "${" not in text, "resolved"
    assert config["model"]["schedule"]["total_epochs"] == 2
    for name in ("last.ckpt", "epoch0001.ckpt"):
        assert read_checkpoint(run, name)["config"] == config


def test_the_log_is_utf_8_whatever_the_locale(command: Command, tmp_path: Path) -> None:
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    try:
        command(*tiny("mine", "trainer.max_epochs=1"))
        logging.getLogger("cyclegan").warning("猫 → \udce9")  # half of a pair, as a file name that is no UTF-8 has it
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    assert (tmp_path / "runs/mine/train.log").read_text(encoding="utf-8").endswith("猫 → \\udce9\n")


def test_lightnings_reports_are_shown_and_its_other_messages_are_not(command: Command) -> None:
    words = tiny("mine", "trainer.max_epochs=1", "+trainer.profiler=simple", "trainer.enable_model_summary=true")
    screen = command(*words).screen
    assert "Profiler Report" in screen
    assert "run_training_batch" in screen
    assert re.search(r"gen_ab +[│|] +ResnetGenerator", screen)
    for chatter in ("GPU available", "TPU available", "`Trainer", "Seed set", "`weights_only`", "💡"):
        assert chatter not in screen


def test_a_second_run_in_the_same_folder_is_refused_and_changes_nothing(command: Command, tmp_path: Path) -> None:
    command(*tiny("mine", "trainer.max_epochs=1"))
    run = tmp_path / "runs" / "mine"
    shutil.copytree(run, run.with_name("other"))
    before, minute = contents(run), {".lock": "which says when it was held last"}
    for words in ([], ["seed=5"], ["resume=runs/other/checkpoints/last.ckpt"]):
        assert command(*tiny("mine", *words)) == (
            1,
            "cyclegan-train: runs/mine already holds a run. Resume it (resume=auto), start it again from nothing "
            "(overwrite=true), or give this one another name (name=...)",
        )
        assert contents(run) | minute == before | minute

    (run / "metrics.csv").unlink()  # a checkpoint is enough to make it a run
    assert "already holds a run" in command(*tiny("mine")).screen


def test_overwrite_starts_again_but_keeps_the_old_run_until_the_new_one_can_begin(
    command: Command, tmp_path: Path
) -> None:
    command(*tiny("mine", "callbacks.checkpointing.keep_every_n_epochs=1"))
    run = tmp_path / "runs" / "mine"
    before = contents(run)
    for mistake in (["data.source=null", "data.root=nowhere"], ["data.crop_size=18"], ["model.generator.norm=layer"]):
        assert command(*tiny("mine", "overwrite=true", *mistake)).code == 1, mistake
    old = contents(run)
    del old[".lock"], before[".lock"]  # which names the last process
    assert old.pop("train.log") != before.pop("train.log"), "which has the error"
    assert old == before

    assert command(*tiny("mine", "overwrite=true", "seed=3", "trainer.max_epochs=1")).code == 0
    after = contents(run)
    assert [name for name in after if name.startswith(("checkpoints", "samples"))] == [
        "checkpoints/epoch0001.ckpt",
        "checkpoints/images000000006.ckpt",
        "checkpoints/last.ckpt",
        "samples/epoch0000.jpg",
        "samples/epoch0001.jpg",
    ]
    assert before["checkpoints/epoch0001.ckpt"] != after["checkpoints/epoch0001.ckpt"]
    assert len(training_rows(run)) == STEPS_PER_EPOCH
    assert "epoch 2 of 2" not in (run / "train.log").read_text()


def test_an_error_in_training_is_one_line_on_the_screen_and_a_traceback_in_the_log(
    command: Command, tmp_path: Path
) -> None:
    command(*tiny("first", "trainer.max_epochs=1"))
    (tmp_path / "toy" / "trainB" / "0003.png").write_bytes(b"no image")
    failed = command(*tiny("mine", "trainer.max_epochs=1", "data.header_checks=0"))
    assert failed.code == 1
    assert "Traceback" not in failed.screen
    last = failed.screen.splitlines()[-1]
    assert last.startswith("cyclegan-train: ")
    assert "toy/trainB/0003.png" in last
    written = (tmp_path / "runs" / "mine" / "train.log").read_text()
    assert "Traceback (most recent call last)" in written
    assert "ImageError" in written


BUGGY = """
from torch import nn
class Generator(nn.Module):
    size_multiple, minimum_size = 1, 1
    def __init__(self, in_channels, out_channels, bug):
        super().__init__()
        self.layer = nn.Conv2d(in_channels, out_channels, 1)
        self.bug = bug
        if bug == "init":
            a, b = (1, 2, 3)
    def forward(self, images):
        if self.bug == "forward":
            raise OSError("no such style")
        return self.layer(images)
"""


@pytest.mark.parametrize(
    ("bug", "line"), {"init": "a, b = (1, 2, 3)", "forward": 'raise OSError("no such style")'}.items()
)
def test_a_bug_in_a_users_network_keeps_its_traceback_on_the_screen_and_in_the_log(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bug: str, line: str
) -> None:
    (tmp_path / "their_network.py").write_text(BUGGY)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("their_network", None)
    words = [word for word in tiny("mine") if not word.startswith("model.generator.")]
    generator = f"+model.generator={{_target_: their_network.Generator, _partial_: true, bug: {bug}}}"
    failed = command(*words, "~model.generator", generator)
    assert failed.code == 1
    for text in (failed.screen, (tmp_path / "runs" / "mine" / "train.log").read_text()):
        assert "Traceback (most recent call last)" in text
        assert f'{tmp_path / "their_network.py"}", line' in text
        assert line in text


def test_ctrl_c_outside_of_a_batch_exits_with_130(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(StopAt, "stop", interrupt)
    handler = signal.getsignal(signal.SIGINT)
    try:
        stopped = command(*tiny("mine", *stop_at("on_fit_start", 0)))
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning turns a second Ctrl-C off
    assert stopped.code == 130
    assert stopped.screen.splitlines()[-1] == "cyclegan-train: stopped by Ctrl-C, without saving"


# ------------------------------------------------------------------------------------------ ranks of a job

SECOND_TASK = {
    "slurm": {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2", "SLURM_NODEID": "0"}
    | {"SLURM_PROCID": "1", "SLURM_LOCALID": "1"},
    "launcher": {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"},
}


@pytest.mark.parametrize("job", SECOND_TASK.values(), ids=SECOND_TASK.keys())
def test_a_run_on_one_device_ignores_the_rank_in_the_environment(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: dict[str, str]
) -> None:
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # as if Lightning had been imported in this environment
    done = command(*tiny("mine", "trainer.max_epochs=1"))
    assert done.code == 0
    assert "epoch 1 of 1" in done.screen
    run = tmp_path / "runs" / "mine"
    assert {"config.yaml", "metrics.csv", "samples/epoch0001.jpg", "train.log"} <= contents(run).keys()
    assert len(training_rows(run)) == STEPS_PER_EPOCH

    monkeypatch.setattr(rank_zero_only, "rank", 1)
    with in_use(Path("runs/other")) as (first, _):
        assert f"runs/other is in use: process {first} on " in command(*tiny("other")).screen


# ------------------------------------------------------------------------------------------ stopped and resumed


def test_a_run_stopped_by_a_signal_reports_its_checkpoint_and_exits_with_75(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StopAt, "stop", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    stopped = command(*tiny("mine", *stop_at("on_train_batch_start", STEPS_PER_EPOCH + 1)))
    assert stopped.code == 75
    last = "runs/mine/checkpoints/images000000010.ckpt"
    assert stopped.screen.splitlines()[-1] == (
        f"cyclegan-train: stopped by SIGTERM at 10 images; resume=auto continues from {last}"
    )
    resumed = command(*tiny("mine", "resume=auto"))
    assert resumed.code == 0
    assert "resume    from runs/mine/checkpoints/last.ckpt: 10 images, 1 epochs" in resumed.screen
    assert len(training_rows(tmp_path / "runs" / "mine")) == 2 * STEPS_PER_EPOCH


@pytest.mark.parametrize("asked_to_stop", [[], stop_at("on_train_batch_start", 4)], ids=["at the end", "by SIGTERM"])
def test_a_run_whose_last_checkpoint_could_not_be_saved_exits_with_74(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_to_stop: list[str]
) -> None:
    monkeypatch.setattr(StopAt, "stop", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with largest_file(30_000):  # enough for all but a checkpoint
        ended = command(*tiny("mine", *asked_to_stop, "callbacks.checkpointing.retry_minutes=null"))
    assert ended.code == 74
    assert ended.screen.splitlines()[-1] == (
        "cyclegan-train: the run ends, but its last state could not be saved in runs/mine/checkpoints: [Errno 27] "
        "File too large; there is none yet. Free some space there, then continue with resume=auto"
    )
    assert "stopped by" not in ended.screen
    assert "done  " not in ended.screen


def test_out_of_memory_is_reported_with_the_settings_that_need_less(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(_: object) -> None:
        torch.empty(2**60)

    monkeypatch.setattr(StopAt, "stop", allocate)
    failed = command(*tiny("mine", *stop_at("on_after_backward", 1)))
    assert failed.code == 1
    assert "Traceback" not in failed.screen
    line = failed.screen.splitlines()[-1]
    assert line.startswith("cyclegan-train: out of memory; settings that need less: data.batch_size=2 (lower), ")
    assert "model.generator.width=4 (lower)" in line
    assert line.endswith("(traceback in runs/mine/train.log)")
    assert "DefaultCPUAllocator" in (tmp_path / "runs" / "mine" / "train.log").read_text()


# ------------------------------------------------------------------------------------------ mistakes


MISTAKES = {
    "trainer.max_epoch=3": "'trainer.max_epoch'. Did you mean trainer.max_epochs? See all: cyclegan-train --cfg job",
    "+trainer.max_epochs=3": "a key 'trainer.max_epochs' already: set it without the plus, trainer.max_epochs=...",
    "modle=cyclegan": "no key 'modle'. Did you mean model?",
    "generator=unet128 model.generator.blocks=3": "'model.generator.blocks'. Did you mean model.generator.downs?",
    "generator=resnet7": "no generator=resnet7. Did you mean generator=resnet9? There are: discogan, ",
    "experiment=folders": "domain A has no images: set data.root, the folder",
    "experiment=folders data.root=nowhere": "no folder nowhere/trainA: nowhere does not exist; set data.root",
    "data.crop_size=63 discriminator=pixel": "data.crop_size is 63, but these networks take multiples of 4 from 8 on; "
    "the nearest is data.crop_size=64, with data.load_size=64 or more",
    "data.crop_size=16 discriminator=strided": "is 16, but these networks take multiples of 4 from 32 on; the nearest "
    "is data.crop_size=32, with data.load_size=32 or more",
    "seed=0,1": "seed=0,1 is a sweep: add -m",
    "data=horse2zebra": "data/horse2zebra does not exist; download it: cyclegan-data download horse2zebra",
    "model.generator.blocks=-1": "blocks is -1; it must be 0 or more",
    "model.pool_size=-2": "pool_size is -2; it counts images, so it is 0 (no pool) or more",
    "schedule=linear trainer.max_epochs=-1": "no epoch to decay in: set trainer.max_epochs, or choose",
    "trainer.accelerator=quantum": "quantum",
    "trainer.devices=two": "trainer: `devices` selected with `CPUAccelerator` should be an int > 0",
    "trainer.check_val_every_n_epoch=2": "is not used here: callbacks.validation.every_n_epochs sets how often",
    "seed=-1": "seed is -1; it is an integer from 0 to 4294967295",
    "name": "cannot read 'name' as key=value",
}


@pytest.mark.parametrize(("words", "message"), MISTAKES.items(), ids=MISTAKES.keys())
def test_a_mistake_is_reported_in_a_line_with_the_remedy(
    command: Command, tmp_path: Path, words: str, message: str
) -> None:
    toy = [] if "experiment=" in words or "data=" in words else ["experiment=toy"]
    answer = command("logger=csv", "name=mine", *toy, *words.split())
    assert answer.code == 1
    (line,) = answer.screen.splitlines()
    assert line.startswith("cyclegan-train: ")
    assert message in line
    assert contents(tmp_path) == {}, "not even the toy set is drawn"


# ------------------------------------------------------------------------------------------ entry points


def python(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("word", "text", "code"),
    [("--help", "--version    show", 0), ("--cfg=job", "max_epochs: ", 0), ("trainer.max_epoch=3", "max_epochs?", 1)],
)
def test_help_config_and_mistakes_do_not_import_torch(tmp_path: Path, word: str, text: str, code: int) -> None:
    program = (
        "import sys\n"
        "sys.modules['torch'] = None  # an import of it now raises\n"
        f"sys.argv = ['cyclegan-train', {word!r}]\n"
        "from cyclegan.train.command import main\n"
        "main()\n"
    )
    answer = python("-c", program, folder=tmp_path)
    assert text in answer.stdout + answer.stderr
    assert answer.returncode == code, answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_module_is_the_console_script(tmp_path: Path) -> None:
    words = ("--cfg", "job", "data=horse2zebra", "seed=7")
    module = python("-m", "cyclegan.train", *words, folder=tmp_path)
    script = python(str(Path(sys.executable).with_name("cyclegan-train")), *words, folder=tmp_path)
    assert module.returncode == script.returncode == 0
    assert yaml.safe_load(module.stdout)["seed"] == 7
    assert module.stdout == script.stdout
    # Else the processes of further devices, in which the package's loggers are quiet, would say that they are done.
    assert runpy.run_path(train_command.__file__)["log"] is train_command.log
