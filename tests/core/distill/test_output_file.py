"""A teacher's outputs in a file: read in any order, damage found and named, concurrent writers, wrong use."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.distill.losses import (
    Sampled,
    TopK,
    forward_kl,
    random_sampling,
    sampled_targets,
    top_k,
    top_k_targets,
)
from lab.core.distill.output_file import BLOCK, Unusable, load_or_make, open_outputs, write

V = 40
SIZES = [
    (3, 7),
    (40, 10),
    (1, 1),
    (2, 256),
    (0, 5),
]  # batches that end inside of blocks, on their edge, and empty


def logits(seed=0, vocabulary=V, sizes=SIZES):
    draw = torch.Generator().manual_seed(seed)
    return [3 * torch.randn(*size, vocabulary, generator=draw) for size in sizes]


def outputs(form, batches, k=6, n=50):
    draw = torch.Generator().manual_seed(1)
    made = {
        "full": lambda z: z,
        "top-k": lambda z: top_k_targets(z, k, 2.0),
        "sampled": lambda z: sampled_targets(z, n, 2.0, generator=draw),
    }
    return [made[form](z) for z in batches]


def dense(output):
    """As weights over the vocabulary: log-probabilities, those of K, or counts."""
    if isinstance(output, torch.Tensor):
        return output.float()
    values = output.log_probs.exp() if isinstance(output, TopK) else output.counts
    found = torch.zeros(*values.shape[:-1], output.vocabulary)
    return found.scatter_add(-1, output.ids.long(), values.float())


def flat(parts):
    return torch.cat([dense(part).flatten(0, -2) for part in parts])


every_form = pytest.mark.parametrize("form", ["full", "top-k", "sampled"])


# Writing and reading.


@every_form
def test_they_come_back_in_any_order(form, tmp_path):
    batches = logits()
    wanted = flat([z.log_softmax(-1) for z in batches] if form == "full" else outputs(form, batches))
    write(tmp_path / "teacher", outputs(form, batches), made_by="me")
    found = open_outputs(tmp_path / "teacher")
    tokens = 3 * 7 + 400 + 1 + 512
    assert (found.tokens, found.kind.form, found.kind.vocabulary, found.made_by) == (tokens, form, V, "me")
    assert found.kind.temperature == (1 if form == "full" else 2)
    draw = torch.Generator().manual_seed(2)
    for shape in ((16, 9), (tokens,), (1, 1)):
        at = torch.randint(tokens, shape, generator=draw)
        read = found.read(at)
        if form == "full":
            torch.testing.assert_close(read.float(), wanted[at], rtol=2**-11, atol=2**-24)
        else:
            assert isinstance(read, TopK if form == "top-k" else Sampled)
            assert (read.vocabulary, read.temperature) == (V, 2.0)
            assert read.ids.shape[:-1] == shape
            rtol = 5e-3 if form == "top-k" else 0  # float16 of a log-probability of about −10
            torch.testing.assert_close(dense(read), wanted[at], rtol=rtol, atol=0)
    everything = torch.arange(tokens)
    torch.testing.assert_close(dense(found.read(everything))[100:], dense(found.read(everything[100:])))


def test_single_precision_comes_back_exactly(tmp_path):
    batches = logits()
    write(tmp_path / "teacher", batches, dtype=torch.float32)
    found = open_outputs(tmp_path / "teacher").read(torch.arange(21))
    assert torch.equal(found, batches[0].log_softmax(-1).view(21, V))


@pytest.mark.parametrize("vocabulary", [1, 2, 128, 129, 65_536, 65_537, 128_256, 2**25])
def test_the_largest_ids_and_counts_fit(vocabulary, tmp_path):
    ids = torch.tensor([[vocabulary - 1], [0], [vocabulary // 2]])
    counts = torch.tensor([[128], [1], [127]])
    write(tmp_path / "sampled", [Sampled(ids, counts, vocabulary)])
    found = open_outputs(tmp_path / "sampled").read(torch.arange(3))
    assert torch.equal(found.ids, ids)
    assert torch.equal(found.counts, counts)
    log_probs = torch.tensor([[0.0], [-1.0], [-torch.inf]])
    write(tmp_path / "top-k", [TopK(ids, log_probs, vocabulary)])
    found = open_outputs(tmp_path / "top-k").read(torch.arange(3))
    assert torch.equal(found.ids, ids)
    assert torch.equal(found.log_probs.float(), log_probs)


@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=5).filter(any), st.integers(1, 60), st.integers(0, 99)
)
@settings(max_examples=25, deadline=None)
def test_any_batches_and_any_number_of_draws(tmp_path_factory, sizes, n, seed):
    path = tmp_path_factory.mktemp("cache") / "sampled"
    made = outputs("sampled", logits(seed, sizes=[(size,) for size in sizes]), n=n)
    write(path, made)
    found = open_outputs(path).read(torch.arange(sum(sizes)))
    assert torch.equal(dense(found), flat(made))
    assert (found.counts.sum(-1) == n).all()


def test_losses_from_the_file_are_those_from_the_teacher(tmp_path):
    (teacher,) = logits(sizes=[(4, 300)])
    (student,) = logits(3, sizes=[(4, 300)])
    at = torch.arange(4 * 300).view(4, 300)
    write(tmp_path / "full", [teacher])
    stored = open_outputs(tmp_path / "full").read(at)
    for temperature in (1.0, 3.0):  # log-probabilities are logits, at any temperature
        found, wanted = (forward_kl(student, t, None, temperature) for t in (stored, teacher))
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=0)
    write(tmp_path / "top-k", [top_k_targets(teacher, 20)])
    stored = open_outputs(tmp_path / "top-k").read(at)
    for rest in ("renormalise", "tail"):
        found, wanted = top_k(student, stored, k=6, rest=rest), top_k(student, teacher, k=6, rest=rest)
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=0)
    drawn = sampled_targets(teacher, 50)
    write(tmp_path / "sampled", [drawn])
    assert random_sampling(student, open_outputs(tmp_path / "sampled").read(at)) == random_sampling(
        student, drawn
    )


def test_the_cost_of_a_token_is_told_and_is_that_of_the_file(tmp_path):
    for form in ("full", "top-k", "sampled"):
        path = tmp_path / form
        write(path, outputs(form, logits(vocabulary=512, sizes=[(8, 256)]), k=50))
        cost = open_outputs(path).bytes_per_token
        assert cost == path.stat().st_size / 2048
        # At most 2 bytes a log-probability, 2 an id, 2 for id and count together, 2 for how many; and a little.
        assert cost < {"full": 1024, "top-k": 200, "sampled": 2 * 50 + 2}[form] + 1
        if form != "full":
            assert cost < 0.95 * {"top-k": 200, "sampled": 2 * 50 + 2}[form]


# Damage.


@every_form
def test_every_altered_byte_is_found(form, tmp_path):
    path = tmp_path / "teacher"
    write(path, outputs(form, logits(sizes=[(5, 60)])))
    whole = path.read_bytes()
    for at in np.random.default_rng(0).permutation(len(whole))[:400].tolist() + list(range(-40, 0)):
        data = bytearray(whole)
        data[at] ^= 1 << (at % 8)
        path.write_bytes(data)
        with pytest.raises(Unusable, match="make it again") as error:
            open_outputs(path).verify()
        assert str(path) in str(error.value)
    path.write_bytes(whole)
    open_outputs(path).verify()


@every_form
def test_every_shortened_file_is_found(form, tmp_path):
    path = tmp_path / "teacher"
    write(path, outputs(form, logits(sizes=[(5, 60)])))
    whole = path.read_bytes()
    for size in [0, 1, 8, 30, len(whole) // 2, *range(len(whole) - 40, len(whole))]:
        path.write_bytes(whole[:size])
        with pytest.raises(Unusable, match="cut off"):
            open_outputs(path)
    path.write_bytes(whole + b"more")
    with pytest.raises(Unusable, match="something was added"):
        open_outputs(path)


@every_form
def test_an_altered_block_is_named_when_it_is_read_and_others_serve(form, tmp_path):
    path = tmp_path / "teacher"
    write(path, outputs(form, logits(sizes=[(3, BLOCK)])))
    with path.open("r+b") as file:
        middle = open_outputs(path)._table[1]
        file.seek(int(middle["at"]) + int(middle["stored"]) // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 255]))
    found = open_outputs(path)
    found.read(torch.arange(BLOCK))
    found.read(2 * BLOCK + torch.arange(BLOCK))
    for _ in range(2):
        with pytest.raises(Unusable, match="is altered in block 1, tokens 256 to 511"):
            found.read(torch.tensor([0, BLOCK + 3]))


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "teacher"
    path.write_text("a note, longer than what is read from the end of such a file\n" * 3)
    with pytest.raises(Unusable, match="holds no teacher's outputs"):
        open_outputs(path)
    with pytest.raises(FileNotFoundError):
        open_outputs(tmp_path / "nothing")


@every_form
def test_a_file_is_made_once_and_again_on_request(form, tmp_path):
    path, made = tmp_path / "teacher", []

    def make():
        made.append(1)
        return outputs(form, logits())

    for _ in range(3):
        load_or_make(path, make, made_by="a")
    assert len(made) == 1
    with pytest.raises(Unusable, match="was made by 'a', not by 'b'; make it again"):
        load_or_make(path, make, made_by="b")
    assert load_or_make(path, make, made_by="b", rebuild=True).made_by == "b"
    assert len(made) == 2
    load_or_make(path, make, made_by="b", rebuild=True)
    assert len(made) == 2
    for spoil in (lambda data: data[:-1], lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:]):
        path.write_bytes(spoil(path.read_bytes()))
        with pytest.raises(Unusable):
            load_or_make(path, make, made_by="b")
        load_or_make(path, make, made_by="b", rebuild=True).verify()
    assert len(made) == 4


# Writers.


def test_a_writer_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "teacher"
    write(path, logits())
    before = path.read_bytes()

    def half():
        yield logits()[0]
        raise RuntimeError("the power is gone")

    with pytest.raises(RuntimeError):
        write(path, half())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_and_a_reader(tmp_path):
    """Whoever reads finds one or the other, whole; a file that is open stays as it was."""
    path = tmp_path / "teacher"
    both = {str(seed): logits(seed, sizes=[(4, 100)]) for seed in range(2)}
    write(path, both["0"], made_by="0")
    first, at = open_outputs(path), torch.arange(400)
    stop, errors = threading.Event(), []

    def writer(name):
        try:
            while not stop.is_set():
                write(path, both[name], made_by=name)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=writer, args=(name,)) for name in both]
    for thread in threads:
        thread.start()
    teachers = set()
    try:
        for _ in range(200):
            found = open_outputs(path)
            wanted = both[found.made_by][0].log_softmax(-1).view(400, V)
            torch.testing.assert_close(found.read(at).float(), wanted, rtol=2**-11, atol=2**-24)
            teachers.add(found.made_by)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors
    assert list(tmp_path.iterdir()) == [path]
    assert torch.equal(first.read(at).float(), both["0"][0].log_softmax(-1).view(400, V).half().float())


# Wrong use.


def test_errors_say_what_is_wrong(tmp_path):
    path = tmp_path / "teacher"
    (batch,) = logits(sizes=[(3, 4)])
    with pytest.raises(ValueError, match="no outputs to write"):
        write(path, [])
    with pytest.raises(ValueError, match="no outputs to write"):
        write(path, [batch[:0]])
    with pytest.raises(ValueError, match="must be of one kind: .*vocabulary=39.* after .*vocabulary=40"):
        write(path, [batch, batch[..., 1:]])
    with pytest.raises(ValueError, match="must be of one kind"):
        write(path, [batch, top_k_targets(batch, 3)])
    with pytest.raises(ValueError, match="must be of one kind"):
        write(path, [top_k_targets(batch, 3), top_k_targets(batch, 4)])
    with pytest.raises(ValueError, match="must be of one kind"):
        write(path, [sampled_targets(batch, 3), sampled_targets(batch, 3, 2.0)])
    with pytest.raises(ValueError, match="dtype is torch.bfloat16"):
        write(path, [batch], dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="a token was drawn 129 times; 7 bits hold 1 to 128: draw fewer"):
        write(path, [Sampled(torch.zeros(1, 1, dtype=torch.int64), torch.full((1, 1), 129), V)])
    with pytest.raises(ValueError, match="a vocabulary of 33554433 does not fit"):
        write(
            path,
            [Sampled(torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, 1, dtype=torch.int64), 2**25 + 1)],
        )
    batch[2, 1, 0] = torch.nan
    with pytest.raises(ValueError, match="logits to keep are no distribution at sequence 2, token 1"):
        write(path, [batch])
    assert list(tmp_path.iterdir()) == []
    write(path, [batch[:1]])
    for at in (-1, 4):
        with pytest.raises(ValueError, match=f"tokens {at} to {at} are asked for, but there are 4"):
            open_outputs(path).read(torch.tensor([at]))
