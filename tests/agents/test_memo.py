"""What is made of an object is made once, and not remembered without bound."""

from agents.memo import Memo


def test_an_object_is_worked_on_once_and_an_equal_one_again() -> None:
    made: list[dict[str, int]] = []
    memo: Memo[dict[str, int], int] = Memo(lambda config: made.append(config) or len(made))
    one, equal = {"a": 1}, {"a": 1}
    assert [memo(one), memo(one), memo(equal)] == [1, 1, 2]


def test_the_oldest_results_are_forgotten() -> None:
    memo: Memo[list[int], int] = Memo(len, size=3)
    for length in range(10):
        memo([0] * length)
    assert len(memo) == 3
