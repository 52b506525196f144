"""The problems that a training is evaluated on: metrics of harder ones only where there are any."""

from dataclasses import replace

import pytest

from lab.core.grpo.eval_set import draw_eval_set


@pytest.mark.parametrize("has_harder", [True, False])
def test_harder_problems_where_there_are_any(make_model, tiny_task, has_harder):
    def problems(rng, count, split):
        if split == "harder" and not has_harder:
            raise ValueError("there are none")
        return tiny_task.problems(rng, count, split)

    eval_set = draw_eval_set(replace(tiny_task, problems=problems, has_harder=has_harder), 4, 2, 12, seed=0)
    metrics = eval_set.evaluate_harder(make_model())
    assert ("harder/pass@1" in metrics) == has_harder and set(eval_set.problems) == {
        "test",
        "harder",
    }.difference(() if has_harder else {"harder"})


def test_the_sample_shown_is_of_median_length(make_model, tiny_task):
    class Recorded:
        def record(self, step, **metrics):
            pass

        def sample(self, step, text):
            self.text = text

    context, eval_set = Recorded(), draw_eval_set(tiny_task, 6, 5, 12, seed=0)
    eval_set.evaluate_and_record(make_model(), 0, context)
    _, sampled = eval_set.evaluate(make_model(), "test")
    easiest = min(range(0, 30, 5), key=lambda i: sampled.problems[i].difficulty)
    answer = context.text.removesuffix("  right").removesuffix("  wrong").split("= ", 1)[1]
    lengths = {
        sampled.texts[i].removesuffix("<eos>"): int(sampled.lengths[i]) for i in range(easiest, easiest + 5)
    }
    assert lengths[answer] == sorted(sampled.lengths[easiest : easiest + 5])[2]
