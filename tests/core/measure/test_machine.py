import getpass
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lab.core.measure.caches import data_caches, in_bytes, last_level_cache
from lab.core.measure.load import disturbs
from lab.core.measure.machine import load_note, machine_facts, thread_environment, use_threads


def python(code, **environment):
    """What `code` prints, as JSON, in a process of its own."""
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(found.stdout)


def words_in(value):
    if isinstance(value, dict):
        return [word for item in value.items() for part in item for word in words_in(part)]
    if isinstance(value, list):
        return [word for item in value for word in words_in(item)]
    return [value] if isinstance(value, str) else []


def test_facts_are_ready_for_json_and_name_what_is_installed():
    facts = machine_facts()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["python"].endswith(".".join(map(str, sys.version_info[:3])))
    assert facts["memory"] == psutil.virtual_memory().total
    assert 1 <= facts["usable_cores"] <= facts["logical_cores"]
    assert {"torch", "numpy"} <= facts["packages"].keys()


def test_facts_name_no_person_no_host_and_no_path():
    words = words_in(machine_facts())
    private = [getpass.getuser(), socket.gethostname(), Path.home().name]
    for name in filter(None, private):
        assert not [word for word in words if re.search(rf"\b{re.escape(name)}\b", word)]
    assert not [word for word in words if str(Path.home()) in word or word.startswith("/")]


def test_facts_do_not_import_torch():
    loaded = python(
        "import json, sys; from lab.core.measure.machine import load_note, machine_facts;"
        "machine_facts(); load_note(1);"
        "print(json.dumps([name for name in ('torch', 'numpy', 'numba', 'pandas') if name in sys.modules]))"
    )
    assert loaded == []


def test_caches_grow_with_the_distance_from_the_core():
    caches = data_caches()
    assert [cache.name for cache in caches] == sorted(cache.name for cache in caches)
    assert all(cache.size > 0 and cache.count >= 1 for cache in caches)
    if caches:
        assert last_level_cache(1) == caches[-1].size
        assert last_level_cache(10_000) == caches[-1].size * caches[-1].count
    else:
        assert last_level_cache() is None


@pytest.mark.parametrize(("text", "size"), [("32768K", 32 * 2**20), ("2M", 2**21), ("512", 512)])
def test_sizes_as_the_kernel_writes_them(text, size):
    assert in_bytes(text) == size


@pytest.mark.parametrize(
    ("others", "threads", "cores", "expected"),
    [
        (0.0, 1, 2, False),
        (0.2, 2, 2, False),  # an idle desktop, though every core is asked for
        (0.4, 2, 2, True),  # no core is left over
        (0.4, 1, 2, False),
        (0.6, 1, 2, True),
        (1.0, 1, 4, False),
        (2.5, 1, 4, True),  # more than half of the machine
        (7.0, 8, 64, False),
        (60.0, 8, 64, True),
    ],
)
def test_when_others_disturb(others, threads, cores, expected):
    assert disturbs(others, threads, cores) is expected


def test_a_busy_neighbour_is_noticed():
    cores = psutil.cpu_count()
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=-1
    ) as neighbour:
        try:
            neighbour.stdout.readline()
            note = load_note(threads=cores)
        finally:
            neighbour.kill()
    assert re.fullmatch(
        rf"busy: other processes use \d+\.\d of {cores} cores; timings will be noisier", note or "quiet"
    )


def test_the_environment_holds_torch_and_numba_to_the_threads():
    pytest.importorskip("numba")
    environment = thread_environment(1)
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    counts = python(
        "import json, numba, torch; print(json.dumps([torch.get_num_threads(), numba.get_num_threads()]))",
        **environment,
    )
    assert counts == [1, 1]


def test_threads_are_set_for_torch_and_for_numba_before_and_after_its_import():
    pytest.importorskip("numba")
    before_and_after = (
        "import json; from lab.core.measure.machine import use_threads;"
        "{}; import torch, numba; print(json.dumps([torch.get_num_threads(), numba.get_num_threads()]))"
    )
    environment = thread_environment(2)
    del environment["NUMBA_NUM_THREADS"]
    assert python(before_and_after.format("use_threads(2)"), **environment) == [2, 2]
    assert python(before_and_after.format("import numba; use_threads(1)"), **environment) == [1, 1]


def test_less_than_one_thread_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        use_threads(0)
