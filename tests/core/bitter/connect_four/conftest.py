import pytest

from lab.core.bitter.connect_four.board import Board
from lab.core.bitter.connect_four.solved import solve


@pytest.fixture(scope="session")
def four_by_three():
    """Three in a row on 4 x 3: 7,157 positions, the first player wins."""
    board = Board(4, 3, 3)
    return board, solve(board)


@pytest.fixture(scope="session")
def four_by_four():
    board = Board(4, 4, 4)
    return board, solve(board)
