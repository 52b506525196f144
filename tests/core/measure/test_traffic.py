import pytest
import torch

from lab.core.measure.traffic import operator_traffic

M, N = 8, 100
MN = M * N


@pytest.fixture
def x():
    return torch.randn(M, N)


def counts(call):
    """Elements read and written, and the operators' names."""
    traffic = operator_traffic(call)
    return traffic.elements_read, traffic.elements_written, set(traffic.operators)


def softmax_in_five_operators(x):
    shifted = x - x.amax(dim=-1, keepdim=True)
    weights = torch.exp(shifted)
    return weights / weights.sum(dim=-1, keepdim=True)


def softmax_in_place(x):
    x.sub_(x.amax(dim=-1, keepdim=True)).exp_()
    return x.div_(x.sum(dim=-1, keepdim=True))


def softmax_into(x, out):
    torch.sub(x, x.amax(dim=-1, keepdim=True), out=out)
    torch.exp(out, out=out)
    return torch.div(out, out.sum(dim=-1, keepdim=True), out=out)


@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_eager_safe_softmax(x, context):
    """amax MN → M, sub MN + M → MN, exp MN → MN, sum MN → M, div MN + M → MN.

    5MN + 2M read and 3MN + 2M written: the count of Triton's fused-softmax tutorial as TritonBench corrects it.
    """
    with context():
        traffic = operator_traffic(lambda: softmax_in_five_operators(x))
    assert (traffic.elements_read, traffic.elements_written) == (5 * MN + 2 * M, 3 * MN + 2 * M)
    assert (traffic.bytes_read, traffic.bytes_written) == (4 * (5 * MN + 2 * M), 4 * (3 * MN + 2 * M))
    assert traffic.operators == {"amax": 1, "sub": 1, "exp": 1, "sum": 1, "div": 1}


@pytest.mark.parametrize("form", [softmax_in_place, lambda x: softmax_into(x, torch.empty_like(x))])
def test_in_place_and_out_move_as_much(x, form):
    expected = torch.softmax(x, -1)
    traffic = operator_traffic(lambda: torch.testing.assert_close(form(x.clone()), expected))
    before_and_after = operator_traffic(lambda: torch.testing.assert_close(x.clone(), x))
    assert traffic.elements_read - before_and_after.elements_read == 5 * MN + 2 * M
    assert traffic.elements_written - before_and_after.elements_written == 3 * MN + 2 * M


def test_fused_softmax_reads_once_and_writes_once(x):
    assert counts(lambda: torch.softmax(x, -1)) == (MN, MN, {"_softmax"})


def test_composite_operators_are_taken_apart_in_inference_mode(x):
    with torch.inference_mode():
        assert counts(lambda: torch.softmax(x, -1)) == (MN, MN, {"_softmax"})
        assert counts(lambda: torch.einsum("mn,kn->mk", x, x))[:2] == (2 * MN, M * M)


def test_bytes_follow_the_dtype(x):
    traffic = operator_traffic(lambda: x.double())
    assert (traffic.bytes_read, traffic.bytes_written) == (4 * MN, 8 * MN)
    assert operator_traffic(lambda: x.float()).operators == {}


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.t(),
        lambda x: x[1:, ::2],
        lambda x: x.reshape(N, M),
        lambda x: x.expand(3, M, N),
        lambda x: x.unbind(0),
        lambda x: x.contiguous(),
        lambda x: x.detach(),
        lambda x: x.shape[0] + x.stride(1),
        lambda x: x.unsqueeze_(0).squeeze_(0),
        lambda x: torch.empty_like(x),
    ],
)
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_views_and_empty_memory_move_nothing(x, view, context):
    with context():
        assert counts(lambda: view(x)) == (0, 0, set())


def test_a_reshape_that_must_copy_counts_as_a_copy(x):
    assert counts(lambda: x.t().reshape(-1)) == (MN, MN, {"clone"})


def test_expanded_and_overlapping_tensors_count_what_is_behind_them(x):
    row = torch.randn(N)
    assert counts(lambda: x + row)[:2] == (MN + N, MN)
    assert counts(lambda: x + row.expand(M, N))[:2] == (MN + N, MN)
    assert counts(lambda: torch.ones(()).expand(M, N) + 1)[:2] == (1, 1 + MN)
    assert counts(lambda: x[:1].expand(M, N) * 2)[:2] == (N, MN)
    # 96 windows of 5 over 100 numbers
    assert counts(lambda: row.unfold(0, 5, 1) * 2)[:2] == (N, 96 * 5)
    assert counts(lambda: x[:, :10] * 2)[:2] == (10 * M, 10 * M)


def test_one_piece_of_memory_is_read_once(x):
    assert counts(lambda: x * x)[:2] == (MN, MN)
    assert counts(lambda: x[:4] * x[4:])[:2] == (MN, MN // 2)


def test_overwriting_does_not_read(x):
    other = torch.randn(M, N)
    assert counts(lambda: x.copy_(other)) == (MN, MN, {"copy_"})
    assert counts(lambda: x.zero_()) == (0, MN, {"zero_"})
    assert counts(lambda: torch.zeros_like(x)) == (0, MN, {"zeros_like"})
    assert counts(lambda: torch.exp(x, out=other)) == (MN, MN, {"exp"})
    assert counts(lambda: x.add_(1)) == (MN, MN, {"add_"})


def test_several_results_and_lists(x):
    assert counts(lambda: x.max(dim=1)) == (MN, 2 * M, {"max"})
    assert counts(lambda: torch.cat([x, x.clone()])) == (MN + 2 * MN, MN + 2 * MN, {"clone", "cat"})


def test_picking_reads_what_it_returns(x):
    rows = torch.tensor([0, 3, 3])
    assert counts(lambda: x.index_select(0, rows))[:2] == (3 * N + 3, 3 * N)
    assert counts(lambda: x.gather(1, torch.zeros(M, 1, dtype=torch.int64)))[:2] == (M + M, M + M)


def test_a_number_taken_out_is_read(x):
    assert counts(lambda: x.sum().item())[:2] == (MN + 1, 1)


def test_matrix_product():
    a, b = torch.randn(3, 5), torch.randn(5, 7)
    assert counts(lambda: a @ b) == (15 + 35, 21, {"mm"})


def test_the_backward_pass_counts(x):
    x.requires_grad_()
    read, written, names = counts(lambda: torch.autograd.grad(x.exp(), x, torch.ones(M, N)))
    # exp, ones, and gradient · exp(x)
    assert (read, written) == (MN + 2 * MN, MN + MN + MN)
    assert "mul" in names
