"""What overwrite=true clears away."""

from pathlib import Path

from cyclegan.run_folder import clear

WRITTEN = (
    *("config.yaml", "environment.json", "metrics.csv", "train.log", "alarms.jsonl", "report.html"),
    *("checkpoints/last.ckpt", "checkpoints/best.ckpt", "samples/epoch=0001.jpg", "wandb/latest-run/run-1.wandb"),
    *("tensorboard/events", "validation/protocol.json", "validation/epoch=0001.csv"),
)


def test_all_that_a_run_writes_goes_and_what_the_user_put_there_stays(tmp_path: Path) -> None:
    for name in (*WRITTEN, "notes.txt", "mine/picture.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    clear(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "notes.txt"]
    assert (tmp_path / "mine" / "picture.png").exists()
    clear(tmp_path)  # and where there is nothing
