"""Search, rollouts and learning, against the solution of small boards and by hand."""

import numpy as np
import pytest

from lab.core.bitter.connect_four.board import Board
from lab.core.bitter.connect_four.compiled import SURE, learn
from lab.core.bitter.connect_four.drawn import drawn
from lab.core.bitter.connect_four.exchange import exchange
from lab.core.bitter.connect_four.params import Params
from lab.core.bitter.connect_four.players import EvaluationError, fresh_memory, hand_made, own, untrained
from lab.core.bitter.connect_four.regret import Player, drawn_positions, regret
from lab.core.bitter.connect_four.solved import solve

ENOUGH = 10_000_000


def player(board, game, r, seed=0):
    return Player(game, board, r, 1.5, np.random.default_rng(seed))


@pytest.mark.parametrize("values", ["none", "by hand", "wrong"])
def test_alpha_beta_without_a_limit_finds_the_solved_value_of_every_position(four_by_three, values):
    board, game = four_by_three
    r = hand_made(board, game, (0.0,) if values == "none" else (0.1, 0.4))
    if values == "wrong":  # confident, and the opposite of the truth
        r = r._replace(memo=(-0.9 * game.value).astype(np.float32))
    who = player(board, game, r)
    for row in (~game.ended).nonzero()[0]:
        column = who.column(row, ENOUGH)
        assert game.of_moves(row)[column] == game.value[row]
        assert who.worth[column] == game.value[row]


def test_a_search_of_one_move_has_every_moves_value_and_takes_the_best(four_by_three):
    board, game = four_by_three
    r = hand_made(board, game, (0.05, 0.3), 0.6)
    who = player(board, game, r)
    for row in drawn_positions(game, 300, 0):
        column = who.column(row, 1)
        for each, child in enumerate(game.children[row].tolist()):
            if child < 0:
                assert np.isnan(who.worth[each])
            elif game.ended[child]:
                assert who.worth[each] == -game.value[child]
            else:
                lines = [0.0, 0.0, 0.0, 0.0]
                for line in board.lines.tolist():
                    mine, theirs = (
                        bin(int(side[child]) & line).count("1") for side in (game.own, game.other)
                    )
                    if mine and not theirs:
                        lines[mine - 1] += 1
                    if theirs and not mine:
                        lines[2 + theirs - 1] += 1
                total = np.dot(lines, [0.05, 0.3, -0.03, -0.18])
                assert who.worth[each] == pytest.approx(-SURE * np.tanh(total), abs=1e-6)
        best = np.nanmax(who.worth)
        assert who.worth[column] == best or best == 1.0  # a win ends the search


@pytest.mark.parametrize("nodes", [1, 5, 16, 100, 1000])
def test_a_search_keeps_to_its_nodes(four_by_four, nodes):
    board, game = four_by_four
    for r in (hand_made(board, game, (0.05, 0.15, 0.5)), None):
        who = player(board, game, r)
        for row in drawn_positions(game, 100, 1):
            column = who.column(row, nodes)
            assert game.children[row, column] >= 0
            assert who.count[0] <= max(nodes, (game.children[row] >= 0).sum())


def test_more_nodes_lose_less(four_by_four):
    board, game = four_by_four
    params = Params(implementation="hand-made", columns=4, positions=400)
    for r in (hand_made(board, game, params.weights), None):
        lost = [
            regret(params.model_copy(update={"nodes": nodes}), game, player(board, game, r), 3)["regret"]
            for nodes in (1, 64, 4096)
        ]
        assert lost[0] > lost[1] > lost[2]


def test_rollouts_come_to_the_solved_move(four_by_three):
    board, game = four_by_three
    who = player(board, game, None)
    rows = drawn_positions(game, 150, 0)
    right = [game.of_moves(row)[who.column(row, 20_000)] == game.value[row] for row in rows]
    assert np.mean(right) == 1.0
    few = [game.of_moves(row)[who.column(row, 1)] == game.value[row] for row in rows]
    assert np.mean(few) < 0.9, "one game for each move would do as well"


def test_the_mean_of_rollouts_is_that_of_all_games_at_random():
    """On 2 x 2 with two in a row whoever comes second has lost: the first wins with the third disc, however they fall."""
    board = Board(2, 2, 2)
    game = solve(board)
    who = player(board, game, None)
    who.column(0, 50)
    assert who.worth.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("trace", [0.0, 0.7, 1.0])
def test_targets_of_a_game_by_hand(trace):
    """1 column, 2 rows, two in a row: two moves, nobody wins; the targets follow from what is rated."""
    params = Params(implementation="learned", columns=1, rows=2, connect=2, hidden=3, memory=8)
    game = solve(params.board)
    r = untrained(params, game, 0)
    start = r._replace(flat=r.flat.copy(), x=r.x.copy(), h=r.h.copy())
    memory = fresh_memory(params, r, 0)
    learn(game, r, memory, 1, trace, 0.01, 0.0, 0, 4)
    assert memory.done[0] == 2 and memory.rows[:2].tolist() == [1, 0]  # the last first
    last = 0.0  # drawn
    u, x = start.flat, [0, 0, 1, 0]  # one disc, the other's, in the lowest cell
    n, hidden = 4, 3
    inner = u[n + 1 + hidden : n + 1 + 2 * hidden] + np.array(x) @ u[n + 1 + 2 * hidden :].reshape(n, hidden)
    value = np.tanh(u[:n] @ x + u[n] + u[n + 1 : n + 1 + hidden] @ np.maximum(inner, 0))
    assert value != 0
    assert memory.targets[0] == last
    assert memory.targets[1] == pytest.approx((1 - trace) * -value + trace * -last)


def test_a_step_of_learning_goes_down_the_gradient():
    """Against the difference quotient of the loss; the first step of Adam is the rate in the direction of its sign."""
    params = Params(implementation="hybrid", columns=3, rows=3, connect=3, hidden=4, memory=64)
    game = solve(params.board)
    r = untrained(params, game, 1)
    before = r.flat.copy()
    memory = fresh_memory(params, r, 1)
    learn(
        game, r, memory, 1, 0.5, 1e-3, 0.5, 0, 4000
    )  # so many that each position of the game comes about as often
    played = int(memory.done[0])

    def loss(flat):
        other = untrained(params, game, 1)._replace(flat=flat)
        values = [value_of(other, game, params.board, row) for row in memory.rows[:played]]
        return np.mean((np.array(values) - memory.targets[:played]) ** 2) / 2

    slopes = []
    for i in range(len(before)):
        step = np.zeros_like(before)
        step[i] = 1e-5
        slopes.append((loss(before + step) - loss(before - step)) / 2e-5)
    slopes = np.array(slopes)
    sure = np.abs(slopes) > 0.05 * np.abs(slopes).max()
    assert sure.sum() > 8
    moved = (r.flat - before)[sure]
    assert np.sign(moved).tolist() == (-np.sign(slopes[sure])).tolist()
    assert np.abs(moved) == pytest.approx(1e-3, rel=0.01)


def value_of(r, game, board, row):
    """tanh(w·x + b + v·max(U x + c, 0)) of cells and lines, in NumPy."""
    own, other = int(game.own[row]), int(game.other[row])
    x = [own >> cell & 1 for cell in r.cells.tolist()] + [other >> cell & 1 for cell in r.cells.tolist()]
    lines = [0.0] * (2 * (board.connect - 1))
    for line in board.lines.tolist():
        mine, theirs = bin(own & line).count("1"), bin(other & line).count("1")
        if mine and not theirs:
            lines[mine - 1] += 1
        if theirs and not mine:
            lines[board.connect - 1 + theirs - 1] += 1
    x, h = np.array(x + lines, float), r.hidden
    n = len(x)
    w, b, v, c, u = np.split(r.flat, [n, n + 1, n + 1 + h, n + 1 + 2 * h])
    return float(np.tanh(w @ x + b[0] + v @ np.maximum(c + x @ u.reshape(n, h), 0)))


@pytest.mark.parametrize("name", ["linear", "learned", "hybrid"])
def test_learning_comes_to_lose_less(name):
    params = Params(implementation=name, columns=4, rows=3, connect=3, positions=1000, hidden=32)
    game = solve(params.board)
    r = untrained(params, game, 0)
    before = regret(params, game, player(params.board, game, r), 0)["regret"]
    learn(game, r, fresh_memory(params, r, 0), 5000, 0.7, 0.003, 0.3, 8, 64)
    fresh = r._replace(memo=np.full(len(game.own), np.nan, np.float32))
    assert regret(params, game, player(params.board, game, fresh), 0)["regret"] < 0.6 * before


def test_an_own_evaluation_gets_the_discs_and_is_searched_by(four_by_three):
    board, game = four_by_three

    def evaluate(own, other):
        assert own.shape == other.shape and own.shape[1:] == (3, 4)
        assert not (own & other).any()
        assert (own[:, 1:] | other[:, 1:] <= own[:, :-1] | other[:, :-1]).all(), "a disc without one below it"
        return (own.sum((1, 2)) - other.sum((1, 2))) / 4 + own[:, 0, 0] / 2

    r = own(evaluate, board, game, "mine.py:evaluate")
    for row in (~game.ended).nonzero()[0][:200]:
        mine, theirs = (bin(int(side[row])).count("1") for side in (game.own, game.other))
        assert r.memo[row] == pytest.approx(SURE * ((mine - theirs) / 4 + (int(game.own[row]) & 1) / 2))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda own, other: 0.0, r"shape \(\) for 4631 positions"),
        (lambda own, other: own, r"shape \(\d+, 3, 4\)"),
        (lambda own, other: np.full(len(own), np.nan), "nan for position 0"),
        (lambda own, other: np.full(len(own), 1.5), "1.5 for position 0; a value lies between -1"),
        (lambda own, other: ["a"] * len(own), "no array of numbers"),
    ],
)
def test_what_an_own_evaluation_gives_is_checked(four_by_three, given, said):
    board, game = four_by_three
    with pytest.raises(EvaluationError, match=said):
        own(given, board, game, "mine.py:evaluate")


def test_exchange_of_a_known_trade():
    """Regret that falls with games^1.3 nodes: ten times the games replace 10^1.3 of nodes."""
    games, nodes = [100, 1000, 10_000], [1, 10, 100, 1000, 10_000]
    product = np.log10(np.array(games, float))[:, None] * 1.3 + np.log10(nodes)
    assert exchange(games, nodes, 1 - product / 20) == pytest.approx(1.3)
    with pytest.raises(ValueError, match="the same regret"):
        exchange([10, 100], [1, 10], np.array([[1.0, 0.9], [0.5, 0.4]]))


def test_a_position_is_drawn_with_what_is_thought_of_each_move():
    board = Board(3, 2, 2)
    game = solve(board)
    # x has the cell at the lower left, o the one beside it.
    row = int(((game.own == 1 << 0) & (game.other == 1 << 3)).nonzero()[0][0])
    thought = {"mine": (np.array([0.5, -1.0, np.nan]), 0)}
    text = drawn(board, game, row, thought)
    assert text.splitlines()[:3] == ["x to move", " " * 15 + ".      .      .", " " * 15 + "x      o      ."]
    assert [line.split() for line in text.splitlines()[3:]] == [
        ["true", "won", "won", "lost"],
        ["mine", "+0.50*", "-1.00"],
    ]
    wide = drawn(Board(14, 1, 4), solve(Board(14, 1, 4)), 0, {"a-long-name": (np.zeros(14), 13)})
    assert max(map(len, wide.splitlines())) <= 80


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"implementation": "lerned"}, "no player 'lerned'. Did you mean learned?"),
        ({"columns": 7, "rows": 6}, "a board of 7 x 6"),
        ({"columns": 0}, "columns is 0"),
        ({"games": -1}, "greater than or equal to 0"),
        ({"nodes": 0}, "greater than or equal to 1"),
        ({"implementation": "learned", "exchange_games": (1, 2)}, "belong together"),
        (
            {"implementation": "rollouts", "exchange_games": (1, 2), "exchange_nodes": (1, 2)},
            "players that learn",
        ),
    ],
)
def test_wrong_parameters_are_named(given, said):
    with pytest.raises(ValueError) as error:
        Params(**given)
    assert said in str(error.value)
