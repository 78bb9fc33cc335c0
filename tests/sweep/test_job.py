"""A job of a sweep: from its process to its record."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from cyclegan.loggers import PRUNE_FILE
from cyclegan.sweep import job as job_module
from cyclegan.sweep.child import Stop
from cyclegan.sweep.job import OUTPUT_FILE, run_job
from cyclegan.sweep.record import Job, State, read_job, write_job
from tests.faults import in_use
from tests.report.run_folders import write_table
from tests.sweep.stand_in import SAVES, stand_in


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A frozen job, which has not begun."""
    monkeypatch.setattr("cyclegan.sweep.summary.write_summary", lambda folder: folder)
    monkeypatch.setattr(job_module, "POLL_SECONDS", 0.005)
    folder = tmp_path / "seed=1"
    folder.mkdir()
    config = {"trainer": {"max_epochs": 2}, "objective": "val/kid", "objective_value": "best"}
    (folder / "config.yaml").write_text("# cyclegan-train -m seed=1,2\n" + yaml.safe_dump(config))
    write_job(Job(folder, {"seed": "1"}))
    return folder


def run(folder: Path, program: str, monkeypatch: pytest.MonkeyPatch, stop: Stop | None = None) -> Job:
    monkeypatch.setattr(job_module, "start", stand_in(program))
    job = run_job(folder, {}, stop or Stop())
    assert read_job(folder) == job
    return job


@pytest.mark.parametrize(
    ("program", "state", "message"),
    [
        ("print('epoch 1 of 2')", "done", ""),
        ("import sys; print('epoch 1'); sys.exit(75)", "stopped", ""),
        ("import sys; print('1'); print('cyclegan-train: full'); sys.exit(74)", "failed", "cyclegan-train: full"),
        ("import sys; print('1\\n2\\n3\\n\\ncyclegan-train: a\\n  b\\n  c\\n  d'); sys.exit(1)",
         "failed", "cyclegan-train: a\n  b\n  c\n  d"),
        ("print('1\\n2\\n3\\n\\n4'); import sys; sys.exit(1)", "failed", "2\n3\n4"),
        ("import os; print('epoch 1', flush=True); os.kill(os.getpid(), 9)", "failed", "epoch 1\nended by SIGKILL"),
    ],
    ids=["0", "75", "74", "1, a line for the user", "1, a traceback", "a signal"],
)  # fmt: skip
def test_the_state_follows_from_the_exit_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch, program: str, state: State, message: str
) -> None:
    job = run(folder, program, monkeypatch)
    assert (job.state, job.message) == (state, message)


def test_a_job_that_is_tried_again_adds_up_its_time_and_forgets_its_earlier_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(folder / "metrics.csv", [{"images_seen": 6, "epoch": 1.0, "val/kid": 0.12345}])
    write_job(Job(folder, {"seed": "1"}, "failed", 3600.0))
    failed = run(folder, "print('cyclegan-train: old'); raise SystemExit(1)", monkeypatch)
    assert failed.message == "cyclegan-train: old"
    again = run(folder, "import time; time.sleep(0.2); print('new'); raise SystemExit(1)", monkeypatch)
    assert again.message == "new"
    assert failed.seconds + 0.2 <= again.seconds < 3602
    assert (folder / OUTPUT_FILE).read_text() == "cyclegan-train: old\nnew\n"
    assert capsys.readouterr().out == (
        "running   seed=1\nfailed    seed=1  val/kid 0.1235  1:00:00\n          cyclegan-train: old\n"
        "running   seed=1\nfailed    seed=1  val/kid 0.1235  1:00:00\n          new\n"
    )


def test_the_process_gets_the_variables_and_its_record_says_that_it_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "start", stand_in("import os; print(os.environ['WHERE'], open('job.json').read())"))
    run_job(folder, {"WHERE": "on GPU 3"}, Stop())
    output = (folder / OUTPUT_FILE).read_text()
    assert output.startswith("on GPU 3 ")
    assert '"state": "running"' in output


@pytest.mark.parametrize("state", ["done", "pruned"])
def test_a_finished_job_is_not_started(folder: Path, monkeypatch: pytest.MonkeyPatch, state: State) -> None:
    finished = Job(folder, {"seed": "1"}, state, 12.0, 0.5)
    write_job(finished)
    monkeypatch.delattr(job_module, "start")
    assert run_job(folder, {}, Stop()) == finished


def test_after_a_signal_no_job_is_started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(job_module, "start")
    stop = Stop()
    stop.received.append(signal.SIGTERM)
    assert run_job(folder, {}, stop) == Job(folder, {"seed": "1"})


def test_a_signal_before_a_killed_job_runs_again_leaves_it_as_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_job(Job(folder, {"seed": "1"}, "running", 12.0))
    monkeypatch.delattr(job_module, "start")
    stop = Stop()
    stop.received.append(signal.SIGTERM)
    run_job(folder, {}, stop)
    assert read_job(folder) == Job(folder, {"seed": "1"}, "stopped", 12.0)


def test_a_job_waits_for_the_process_of_an_earlier_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with in_use(folder) as (holder, _):
            waiting = pool.submit(run, folder, "", monkeypatch)
            time.sleep(0.1)
            assert read_job(folder).state == "queued"
        assert waiting.result(20).state == "done"
    assert capsys.readouterr().out.startswith(f"waiting   {folder} is in use: process {holder} on ")


def test_a_signal_ends_the_waiting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(job_module, "start")
    stop = Stop()
    with in_use(folder):
        threading.Timer(0.05, lambda: stop.received.append(signal.SIGTERM)).start()
        assert run_job(folder, {}, stop).state == "queued"


# ------------------------------------------------------------------------------------------ stopped


def when_ready(folder: Path, act: object) -> threading.Thread:
    def wait() -> None:
        while not (folder / "ready").exists():
            time.sleep(0.005)
        act()  # type: ignore[operator]

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("signals", "saves"),
    [((signal.SIGTERM,), True), ((signal.SIGUSR1, signal.SIGTERM), True), ((signal.SIGINT, signal.SIGINT), False)],
    ids=["SIGTERM", "a cluster's warning and end", "Ctrl-C twice"],
)
def test_on_a_signal_the_job_saves_but_a_second_ctrl_c_kills_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, signals: tuple[int, ...], saves: bool
) -> None:
    stop = Stop()
    thread = when_ready(folder, lambda: stop.received.extend(signals))
    job = run(folder, SAVES, monkeypatch, stop)
    thread.join()
    assert (job.state, job.message) == ("stopped", "")
    assert (folder / "saved").exists() == saves


def test_a_job_that_is_pruned_saves_and_counts_as_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(folder / "metrics.csv", [{"images_seen": 6, "epoch": 1.0, "val/kid": 0.25}])
    thread = when_ready(folder, (folder / PRUNE_FILE).touch)
    job = run(folder, SAVES, monkeypatch)
    thread.join()
    assert (job.state, job.objective) == ("pruned", 0.25)
    assert (folder / "saved").exists()
    assert not (folder / PRUNE_FILE).exists()


@pytest.mark.parametrize("epochs", [2, -1, None])
def test_a_terminal_shows_the_epoch(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], epochs: int | None
) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["trainer"]["max_epochs"] = epochs
    (folder / "config.yaml").write_text("# cyclegan-train\n" + yaml.safe_dump(config))
    write_table(folder / "metrics.csv", [{"images_seen": 3, "epoch": 0.5}])
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr(job_module, "PROGRESS_SECONDS", 0.0)
    assert run(folder, "import time; time.sleep(0.05)", monkeypatch).state == "done"
    assert f"| epoch 0.5 of {epochs if epochs == 2 else '?'}  00:00, " in capsys.readouterr().err
