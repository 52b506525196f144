"""A trial without a runner: a context that keeps what it gets in a folder."""

import pickle
import runpy
from types import SimpleNamespace


class Stop(Exception):
    pass


def context_in(folder, seed=0, stop_at=None):
    """A context that keeps its state in `folder`; it raises at step `stop_at`, as a killed process would end there."""
    (folder / "cache").mkdir(exist_ok=True)
    records, samples = [], []

    def record(step=None, **metrics):
        records.append((step, metrics))
        if step == stop_at and "grad_norm" in metrics:
            raise Stop

    def cached(key, make):
        made = folder / "cache" / str(abs(hash(key)))
        if not made.exists():
            made.mkdir()
            make(made)
        return made

    def load(reference):
        path, _, function = reference.rpartition(":")
        return runpy.run_path(path)[function]

    state = folder / "state"
    return SimpleNamespace(
        variant="v", seed=seed, device="cpu", threads=1, folder=folder, record=record, cached=cached, load=load,
        records=records, samples=samples, progress=lambda done, of, what="": None, sample=lambda step, text: samples.append((step, text)),
        save=lambda x: state.write_bytes(pickle.dumps(x)),
        restore=lambda: pickle.loads(state.read_bytes()) if state.exists() else None,
    )  # fmt: skip
