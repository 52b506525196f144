"""What a training is judged by: figures of harder problems only where there are any."""

from dataclasses import replace

import pytest

from lab.core.grpo.eval_set import eval_set


@pytest.mark.parametrize("has_harder", [True, False])
def test_harder_problems_where_there_are_any(make_model, tiny_task, has_harder):
    def problems(rng, count, split):
        if split == "harder" and not has_harder:
            raise ValueError("there are none")
        return tiny_task.problems(rng, count, split)

    judges = eval_set(replace(tiny_task, problems=problems, has_harder=has_harder), 4, 2, 12, seed=0)
    figures = judges.harder(make_model())
    assert ("harder/pass@1" in figures) == has_harder and set(judges.problems) == {
        "test",
        "harder",
    }.difference(() if has_harder else {"harder"})


def test_the_answer_that_is_read_is_a_typical_one(make_model, tiny_task):
    class Told:
        def record(self, step, **figures):
            pass

        def sample(self, step, text):
            self.text = text

    told, judges = Told(), eval_set(tiny_task, 6, 5, 12, seed=0)
    judges.evaluate_and_record(make_model(), 0, told)
    _, made = judges.figures(make_model(), "test")
    easiest = min(range(0, 30, 5), key=lambda i: made.problems[i].difficulty)
    answer = told.text.removesuffix("  right").removesuffix("  wrong").split("= ", 1)[1]
    lengths = {made.texts[i].removesuffix("<eos>"): int(made.lengths[i]) for i in range(easiest, easiest + 5)}
    assert lengths[answer] == sorted(made.lengths[easiest : easiest + 5])[2]
