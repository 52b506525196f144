"""The course of a figure in one line."""

from lab.cli.training_view import WIDTH, course_of


def test_a_course_has_its_first_and_last_value_and_the_way_between():
    assert course_of([(0, 0.22), (10, 0.4), (20, 0.62)]) == "0.22 ▁▄█ 0.62"
    assert course_of([]) == "" and course_of([(0, 0.5)]) == "0.5"
    assert course_of([(0, 3.0), (1, 3.0)]) == "3 ▁▁ 3"
    long = course_of([(step, float(step)) for step in range(100)])
    assert long.startswith("0 ▁") and long.endswith("█ 99") and len(long.split()[1]) == WIDTH
