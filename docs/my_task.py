"""A task of one's own: the largest of some digits. In an experiment: `task: ./my_task.py:largest`."""

from lab.core.grpo.tasks import Problem, Task, draw, says, vocabulary


def largest(base, train, harder):  # base_depth, train_depth, harder_depth of the experiment
    depths = {"base": base, "train": train, "test": train, "harder": harder}
    longest = max(high for _, high in depths.values())

    def candidates(rng, count, split):  # of both sides; `draw` keeps what is learnt from apart from the tests
        low, high = depths[split]
        rows = [rng.integers(10, size=n).tolist() for n in rng.integers(low, high + 1, count)]
        return [(Problem(",".join(map(str, row)) + "=", str(max(row)), len(row)), row) for row in rows]

    def problems(rng, count, split):
        return [problem for problem, _ in draw(rng, count, split, candidates)]

    def demonstrations(rng, count, mixture):  # `long` of them think: the largest so far, digit by digit
        shown = []
        for problem, row in draw(rng, count, "base", candidates):
            so_far = ",".join(str(max(row[: i + 1])) for i in range(len(row)))
            thought = f"<think>{so_far}</think>" if rng.random() < mixture.long else ""
            shown.append((problem, f"{thought}<answer>{problem.answer}</answer><eos>"))
        return shown

    return Task(
        name="largest",
        vocabulary=vocabulary("0123456789,="),
        problems=problems,
        demonstrations=demonstrations,
        is_right=says,  # the answer in its tags, letter by letter, and nothing behind it
        longest_prompt=2 * longest,
        longest_completion=2 * longest - 1 + 6,  # the thought; four tags, the answer, <eos>
        classes=None,  # such answers can be learnt by heart; else among how many one guesses
    )
