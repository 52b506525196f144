"""What a `trial:` line may name."""

from pathlib import Path

import pytest

from lab.core.experiment.subject import NoSubject, built_in, load_subject, modules


def test_a_subject_may_stand_inside_another(tmp_path: Path) -> None:
    assert "distill/bias" in built_in() and "." not in built_in()
    assert modules("distill/bias")[0] == "lab.core.distill.bias.trial"
    assert "loss" in load_subject("distill/bias", tmp_path).params.model_fields


def test_a_subject_that_was_renamed_opens_under_its_former_name_and_is_not_listed_under_it(
    tmp_path: Path,
) -> None:
    assert load_subject("distill/across", tmp_path) == load_subject("distill/cross_tokenizer", tmp_path)
    assert modules("distill/across") == modules("distill/cross_tokenizer") != []
    assert "distill/across" not in built_in()


def test_a_misspelt_one_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NoSubject, match="no subject distill/bais.*distill/bias"):
        load_subject("distill/bais", tmp_path)


@pytest.mark.parametrize("trial", ["./distill/bias", "mine/trial.py", "../softmax"])
def test_a_path_is_a_file_of_the_users(tmp_path: Path, trial: str) -> None:
    with pytest.raises(NoSubject, match="no such file"):
        load_subject(trial, tmp_path)
