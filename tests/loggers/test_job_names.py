"""Names of the jobs of a sweep in wandb."""

import wandb

from cyclegan.loggers.job_names import names_for_job


def test_a_name_and_a_tag_for_each_change() -> None:
    found = names_for_job({"model.loss_weights.identity": "0.1", "seed": "1"})
    assert found == ("identity=0.1,seed=1", ["identity=0.1", "seed=1"])


def test_keys_with_the_same_end_keep_as_many_parts_as_tell_them_apart() -> None:
    overrides = {"model.generator.width": "64", "model.discriminator.width": "32", "x.model.generator.width": "1"}
    assert names_for_job(overrides)[1] == [
        "model.generator.width=64",
        "discriminator.width=32",
        "x.model.generator.width=1",
    ]
    assert names_for_job({"a.seed": "1", "seed": "2"})[1] == ["a.seed=1", "seed=2"]


def test_tags_that_wandb_would_refuse_are_cut() -> None:
    name, tags = names_for_job({"data.root": "x" * 100, "init_from": "y" * 57 + "é"})
    assert name == f"root={'x' * 100},init_from={'y' * 57}é"
    assert tags == [f"root={'x' * 56}...", f"init_from={'y' * 51}..."]
    wandb.Settings(run_tags=tuple(tags))  # raises if one is too long
