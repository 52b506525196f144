"""The rules and the solution: by hand, against a solver without bitboards, and against published counts."""

import numpy as np
import pytest

from lab.core.bitter.connect_four.board import Board
from lab.core.bitter.connect_four.solved import solve

from .plain import as_columns, has_line, values


def bits(board, *cells):
    return np.array(sum(1 << int(board.cells[row, column]) for column, row in cells), np.int64)


@pytest.mark.parametrize(
    "cells",
    [
        [(1, 0), (2, 0), (3, 0), (4, 0)],
        [(2, 0), (2, 1), (2, 2), (2, 3)],
        [(1, 0), (2, 1), (3, 2), (4, 3)],
        [(0, 3), (1, 2), (2, 1), (3, 0)],
    ],
    ids=["across", "upright", "up", "down"],
)
def test_a_line_wins_in_each_direction_and_three_of_it_do_not(cells):
    board = Board(5, 4, 4)
    assert board.won(bits(board, *cells))
    for left_out in cells:
        assert not board.won(bits(board, *(cell for cell in cells if cell != left_out)))


@pytest.mark.parametrize(
    "cells",
    [
        [(0, 2), (0, 3), (1, 0), (1, 1)],  # out at the top of a column, in at the bottom of the next
        [(0, 3), (1, 0), (2, 1), (3, 2)],
        [(0, 0), (1, 3), (2, 2), (3, 1)],
        [(3, 1), (4, 1), (0, 1), (1, 1)],
    ],
)
def test_no_line_runs_across_an_edge(cells):
    board = Board(5, 4, 4)
    assert not board.won(bits(board, *cells))


def test_lines_are_those_that_win(four_by_three):
    for board in (four_by_three[0], Board(5, 4, 4), Board(2, 5, 4), Board(4, 5, 2)):
        some = np.random.default_rng(0).integers(0, 1 << int(board.cells.max() + 1), 4000) & board.full
        by_lines = ((some[:, None] & board.lines) == board.lines).any(1)
        assert (board.won(some) == by_lines).all()
        assert by_lines.any() and not by_lines.all()
    assert len(Board(5, 4, 4).lines) == 17


def test_a_disc_falls_onto_others_and_not_into_a_full_column():
    board = Board(3, 2, 3)
    taken = bits(board, (0, 0), (0, 1), (1, 0))
    assert board.dropped(taken, 0) == 0
    assert board.dropped(taken, 1) == bits(board, (1, 1))
    assert board.dropped(taken, 2) == bits(board, (2, 0))


@pytest.mark.parametrize("size", [(3, 3, 3), (4, 3, 3), (3, 4, 3), (4, 3, 4), (2, 5, 2)], ids=str)
def test_positions_values_and_moves_are_those_of_a_solver_without_bitboards(size):
    board = Board(*size)
    game, expected = solve(board), values(*size)
    seen = {}
    for row, (own, other) in enumerate(zip(game.own.tolist(), game.other.tolist(), strict=True)):
        seen[as_columns(board, own, other)] = row
    assert seen.keys() == expected.keys() and len(seen) == len(game.own)
    for position, (value, moves) in expected.items():
        row = seen[position]
        assert game.value[row] == value
        assert game.of_moves(row).tolist() == pytest.approx(
            [np.nan if m is None else m for m in moves], nan_ok=True
        )
        assert game.ended[row] == all(move is None for move in moves)
        legal = [move for move in moves if move is not None]
        assert (row in game.deciding) == (len(set(legal)) > 1)


def test_counts_are_the_published_ones(four_by_four):
    """John Tromp's table (https://tromp.github.io/c4/c4.html) has 161,029 and 12,031."""
    board, game = four_by_four
    assert len(game.own) == 161_029 and game.value[0] == 0
    discs = np.array([bin(both).count("1") for both in (game.own | game.other).tolist()])
    assert np.bincount(discs).tolist() == [
        1, 4, 16, 52, 160, 436, 1128, 2512, 5084, 9276, 14788, 21720, 26698, 28922, 24912, 18076, 7244,
    ]  # fmt: skip
    assert int(board.won(game.other).sum()) == 21_404
    smaller = solve(Board(4, 3, 4))
    assert len(smaller.own) == 12_031 and smaller.value[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("size", "count"), [((4, 5), 1_706_255), ((5, 4), 3_945_711)])
def test_counts_are_the_published_ones_on_larger_boards(size, count):
    """4 wide and 5 high, and the other way round; both are drawn."""
    game = solve(Board(*size, 4))
    assert len(game.own) == count and game.value[0] == 0


def test_a_mirror_image_has_the_same_value_and_the_mirrored_moves(four_by_four):
    board, game = four_by_four

    def mirrored(discs):
        height = board.rows + 1
        column = (1 << height) - 1
        return sum(
            (discs >> c * height & column) << (board.columns - 1 - c) * height for c in range(board.columns)
        )

    own, other = game.own.astype(np.int64), game.other.astype(np.int64)
    keys = own << 32 | other
    order = np.argsort(keys)
    image = order[np.searchsorted(keys, mirrored(own) << 32 | mirrored(other), sorter=order)]
    assert (own[image] == mirrored(own)).all() and (other[image] == mirrored(other)).all()
    assert (game.value == game.value[image]).all()
    for column in range(board.columns):
        there = game.children[:, column]
        here = game.children[image][:, board.columns - 1 - column]
        assert ((there < 0) == (here < 0)).all()
        assert (image[there[there >= 0]] == here[there >= 0]).all()


def test_what_ends_a_game_has_the_value_of_its_rules(four_by_three):
    board, game = four_by_three
    for row in game.ended.nonzero()[0].tolist():
        columns = as_columns(board, int(game.own[row]), int(game.other[row]))
        discs = sum(map(len, columns))
        assert game.value[row] == (-1 if has_line(columns, 3, 3, "xo"[(discs + 1) % 2]) else 0)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((7, 6, 4), "a board of 7 x 6 has up to 5.33e+14 positions, too many to solve"),
        ((6, 4, 4), "a board of 6 x 4 has up to 8.88e"),
        ((0, 4, 4), "columns is 0"),
        ((4, 0, 4), "rows is 0"),
        ((4, 4, 1), "connect is 1"),
    ],
)
def test_a_board_that_cannot_be_is_refused(size, said):
    with pytest.raises(ValueError, match=said.replace("+", r"\+")):
        Board(*size)
