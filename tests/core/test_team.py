"""Work in shares on torch's threads and on ours: each share once, errors, several callers, forks."""

import os
import subprocess
import sys
import threading
import time

import pytest

np = pytest.importorskip("numpy")
numba = pytest.importorskip("numba")

from lab.core.compiled import team as teams  # noqa: E402
from lab.core.compiled.atomics import add, load  # noqa: E402
from lab.core.compiled.shares import in_shares  # noqa: E402

PATIENCE = 20_000_000_000
"""Looks at a number that another thread is to change."""


@numba.njit(nogil=True)
def _meet(i, arguments):
    """Add 1 in the place of the share, once `together` shares have begun; raise in the one that is to fail."""
    done, counter, together, fails = arguments
    if i == fails:
        raise ValueError("of this share")
    add(counter, 1)
    looks = 0
    while load(counter) < together and looks < PATIENCE:
        looks += 1
    done[i] += 1


@numba.njit(nogil=True)
def _work(team, shares, done, counter, together, fails):
    in_shares(_meet, team, shares, (done, counter, together, fails))


def work(team, shares, together=0, fails=-1):
    """How often each share was done."""
    done, counter = np.zeros(shares, np.int64), np.zeros(1, np.int64)
    _work(team, shares, done, counter.ctypes.data, together, fails)
    return done.tolist()


@pytest.fixture(params=["torch", "ours"])
def make(request, monkeypatch):
    """`team`, of torch's threads or of ours."""
    monkeypatch.setattr(teams, "_teams", {})
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if request.param == "ours":
        monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    elif not teams._gomp_parallel():
        pytest.skip("torch has no OpenMP library with GOMP_parallel")
    return teams.team


def test_one_thread_is_no_team(make):
    assert make(1) == 0 and work(0, 5) == [1] * 5


@pytest.mark.parametrize("shares", [0, 1, 2, 7, 1000])
def test_each_share_is_done_once(make, shares):
    for threads in (2, 3, 2):
        assert work(make(threads), shares) == [1] * shares


@pytest.mark.parametrize("threads", [2, 4])
def test_shares_are_done_at_once(make, threads):
    """None returns before all have begun."""
    assert work(make(threads), threads, together=threads) == [1] * threads


def test_threads_that_sleep_are_woken(make):
    for _ in range(3):
        time.sleep(0.02)
        assert work(make(2), 2, together=2) == [1, 1]


def test_threads_that_sleep_are_left_alone_where_they_are_not_worth_waking(make):
    time.sleep(0.02)
    assert work(make(2, wake=False), 2) == [1, 1]


@pytest.mark.parametrize("share", [0, 1])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_of_any_share_is_raised(make, threads, share):
    for _ in range(20):
        with pytest.raises(ValueError, match="of this share"):
            work(make(threads), 2, fails=share)
    assert work(make(threads), 2) == [1, 1]


def test_several_callers_at_once(make):
    wrong = []

    def calls():
        for shares in range(1, 300):
            done = work(make(3), shares)
            if done != [1] * shares:
                wrong.append(done)

    callers = [threading.Thread(target=calls) for _ in range(4)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    assert not wrong


FORKS = """
import os, sys
import numpy as np, numba
if sys.argv[2] == "ours": os.environ["OMP_WAIT_POLICY"] = "passive"
else: os.environ.pop("OMP_WAIT_POLICY", None)
import torch
from lab.core.compiled.team import team
from lab.core.compiled.shares import in_shares

@numba.njit(nogil=True)
def _one(i, done):
    done[0][i] += 1

@numba.njit(nogil=True)
def _work(team, shares, done):
    in_shares(_one, team, shares, (done,))

def work():
    done = np.zeros(64, np.int64)
    for _ in range(50): _work(team(3), 64, done)
    return (done == 50).all()

torch.set_num_threads(3)
if sys.argv[1] == "after": assert work()
child = os.fork()
if not child: os._exit(0 if work() and work() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert work()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("of", ["torch", "ours"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_forked_process_works_before_and_after_its_parent_has(when, of):
    subprocess.run([sys.executable, "-c", FORKS, when, of], check=True, timeout=120)
