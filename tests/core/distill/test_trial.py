"""`lab run kd` on a tiny model: what variants share, what each signal computes, and which parameters are refused."""

import csv
import hashlib
import math
import pickle
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
import yaml

from lab.core.distill.internals import hidden_states_and_qkv
from lab.core.distill.language import Oracle
from lab.core.distill.losses import forward_kl, hard_argmax
from lab.core.distill.objective import Objective
from lab.core.distill.output_file import Unusable
from lab.core.distill.shared_params import config_of, source_of, teacher_of
from lab.core.distill.shared_params import student_of as model_of
from lab.core.distill.signals import signal_terms
from lab.core.distill.student import Student
from lab.core.distill.teacher import TeacherOutputs, train_teacher, transfer_text
from lab.core.distill.trial import Params, prepare, trial
from lab.core.lm.model import Transformer
from lab.core.lm.training import Recipe

TINY = {
    "topics": 2, "words": 40, "vocabulary": 40, "columns": 16, "documents": 24, "held_out": 8, "d_model": 16, "heads": 2,
    "d_ff": 16, "steps": 6, "batch": 8, "eval_every": 2, "teacher_d_model": 24, "teacher_heads": 2, "teacher_layers": 1,
    "teacher_d_ff": 16, "teacher_steps": 6, "teacher_batch": 8, "teacher_documents": 48, "k": 3, "draws": 3,
}  # fmt: skip


class Stop(Exception):
    pass


def context_in(folder, seed=0, stop_at=None):
    """A context that keeps its state in `folder`, and its cache beside it; it raises at step `stop_at`."""
    folder.mkdir(exist_ok=True)
    cache = folder.parent / "cache"
    cache.mkdir(exist_ok=True)
    records, samples, made_now = [], [], []

    def progress(done, of, what=""):
        if done == stop_at and of == TINY["steps"] and (folder / "state").exists():
            raise Stop

    def cached(key, make):
        made = cache / hashlib.sha256(key.encode()).hexdigest()[:16]
        if not made.exists():
            made.mkdir()
            make(made)
            made_now.append(key)
        return made

    state = folder / "state"
    return SimpleNamespace(
        variant="v", seed=seed, device="cpu", threads=1, folder=folder, cached=cached, progress=progress, records=records,
        samples=samples, made_now=made_now, record=lambda step=None, **metrics: records.append((step, metrics)),
        sample=lambda step, text: samples.append((step, text)), save=lambda x: state.write_bytes(pickle.dumps(x)),
        restore=lambda: pickle.loads(state.read_bytes()) if state.exists() else None,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path):
    def trained(name, seed=0, **changes):
        context = context_in(tmp_path / name, seed)
        return trial(Params(**TINY | changes), context), context

    return trained


def student_of(context, **changes):
    """The student of these parameters before its first step, with the teacher's outputs."""
    params = Params(**TINY | changes)
    source = source_of(params)
    prepared = prepare(params, source, teacher_of(params, source, context), context)
    recipe = Recipe(params.steps, params.batch, lr=params.learning_rate)
    model = model_of(config_of(params, source.view.size, params.columns), params, context)
    return Student(model, recipe, prepared.objective, context.seed), source


def test_parameters_are_read_without_torch():
    line = "import sys, lab.core.distill.trial; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0


def test_the_same_seed_gives_the_same_figures_and_another_one_others(run):
    (first, context), (again, _), (other, _) = (
        run("a", signal="soft"),
        run("b", signal="soft"),
        run("c", 2, signal="soft"),
    )
    assert first == again
    assert first["kl"] != other["kl"] and first["teacher/kl"] != other["teacher/kl"]
    # Seed 2 is seed 0 counted from 2, and with two teachers it shares that of seed 0.
    assert run("d", 0, signal="soft", first_seed=2)[0] == other
    shared, _ = run("e", 2, signal="soft", teachers=2)
    assert shared["teacher/kl"] == first["teacher/kl"] and shared["kl"] not in (first["kl"], other["kl"])
    assert [step for step, metrics in context.records if "kl_bits" in metrics] == [0, 2, 4, 6]
    assert all(math.isfinite(x) for x in first.values())
    text = [text for step, text in context.samples if step == TINY["steps"]][0]
    assert set(text) <= set("bdfgklmnprstaeiou ") | set("<eos>pad")


@pytest.mark.parametrize("signal", ["sampled", "data+feature", "data+rkd", "data+attention"])
def test_a_killed_training_goes_on_to_the_same_figures(tmp_path, signal):
    params = Params(**TINY, signal=signal)
    expected = trial(params, context_in(tmp_path / "through"))
    with pytest.raises(Stop):
        trial(params, context_in(tmp_path / "killed", stop_at=5))
    assert trial(params, context_in(tmp_path / "killed")) == expected


def test_variants_of_a_seed_share_weights_batches_and_the_teacher(tmp_path):
    signals = ["data", "hard", "soft", "top-k", "sampled", "data+feature", "data+similarity", "data+minilm"]
    context = context_in(tmp_path / "one")
    students = {signal: student_of(context, signal=signal)[0] for signal in signals}
    first, *others = students.values()
    batches = [first._next_batch() for _ in range(5)]
    for other in others:
        ours, theirs = first.model.state_dict(), other.model.state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours) and ours.keys() == theirs.keys()
        assert torch.equal(first.objective.ids, other.objective.ids)
        assert all(torch.equal(rows, other._next_batch()) for rows in batches)
    assert torch.cat(batches[:3]).sort().values.tolist() == list(
        range(24)
    )  # each once before any comes again
    # One teacher, its full outputs once, what is inside once each, and one file for each k and n.
    kinds = [key.split('"')[1] for key in context.made_now]
    assert kinds.count("kd teacher") == 1 and len(kinds) == 1 + 1 + 2 + 3
    again = context_in(tmp_path / "two")
    for signal in signals:
        student_of(again, signal=signal)
    assert again.made_now == []


def test_the_projector_is_no_part_of_the_student(run, tmp_path):
    (plain, _), (featured, _) = run("plain"), run("featured", signal="data+feature")
    assert plain["parameters"] == featured["parameters"] and plain["compute"] < featured["compute"]
    student, _ = student_of(context_in(tmp_path / "plain"), signal="data+feature")
    assert set(student.state()["model"]) == set(
        student_of(context_in(tmp_path / "plain"))[0].state()["model"]
    )
    before = student.modules["projector"].weight.clone()
    student.learn()
    assert not torch.equal(before, student.modules["projector"].weight)


def test_the_truth_is_where_the_oracles_soft_targets_lead(tmp_path):
    student, source = student_of(context_in(tmp_path / "one"), signal="soft", teacher="oracle")
    ids = student.objective.ids[:4]
    truth = Oracle(source.truth, floor=-50.0, dtype=torch.float64)(ids[:, :-1])
    rows = torch.arange(4)[:, None] * (ids.shape[1] - 1) + torch.arange(ids.shape[1] - 1)
    output = student.objective.outputs["soft"].read(rows).double()
    logits = truth.clone().requires_grad_()
    loss = forward_kl(logits, output)
    (gradient,) = torch.autograd.grad(loss, logits)
    # What is left is the file's float16.
    assert float(loss.detach()) < 1e-5 and float(gradient.abs().max()) < 1e-3 / rows.numel()
    worse = (truth + torch.randn(truth.shape, dtype=torch.float64)).requires_grad_()
    (large,) = torch.autograd.grad(forward_kl(worse, output), worse)
    assert float(large.abs().max()) > 100 * float(gradient.abs().max())


def test_hard_and_soft_are_the_losses_of_these_names_on_the_teachers_own_logits(tmp_path):
    context = context_in(tmp_path / "one")
    params = Params(**TINY)
    rows = torch.tensor([3, 0, 17])
    for signal, loss in (("hard", hard_argmax), ("soft", forward_kl)):
        student, source = student_of(context, signal=signal)
        model, _ = train_teacher(context, teacher_of(params, source, context))
        ids = transfer_text(source, params.documents, 0)[rows, :-1]
        with torch.no_grad():
            expected = loss(student.model(ids), model(ids))
            assert student.objective.loss(student, rows).item() == pytest.approx(expected.item(), rel=2e-3)


def test_weights_add_up(tmp_path):
    context, rows = context_in(tmp_path / "one"), torch.arange(4)
    students = (student_of(context, signal=s)[0] for s in ("data", "soft", "data+0.5*soft"))
    data, soft, both = (student.objective.loss(student, rows).item() for student in students)
    assert both == pytest.approx(data + 0.5 * soft, rel=1e-5)


def of_teacher(student, source, context, rows):
    """The student's documents, and its teacher's logits, hidden states and heads on them, without a file in between."""
    model, _ = train_teacher(context, teacher_of(Params(**TINY), source, context))
    ids = student.objective.ids[rows]
    with torch.no_grad():
        hidden, qkv = hidden_states_and_qkv(model, ids[:, :-1])
        return ids, model.logits(hidden), hidden, qkv


def test_each_rest_of_top_k_is_the_loss_of_its_name(run, tmp_path):
    context, rows = context_in(tmp_path / "one"), torch.tensor([3, 0, 17])
    found = {}
    for rest in ("renormalise", "tail", "truth"):
        student, source = student_of(context, signal="top-k", rest=rest)
        ids, theirs, _, _ = of_teacher(student, source, context, rows)
        q, p = (x.double().log_softmax(-1) for x in (student.model(ids[:, :-1]).detach(), theirs))
        log_p, at = p.topk(3)
        missing, y = 1 - log_p.exp().sum(-1, keepdim=True), ids[:, 1:, None]
        target = torch.zeros_like(p).scatter(-1, at, log_p.exp())
        if rest == "renormalise":
            target = target / target.sum(-1, keepdim=True)
        if rest == "truth":
            target = target.scatter_add(-1, y, missing)
        kl = (torch.xlogy(target, target) - target * q).sum(-1)
        if rest == "tail":
            others = 1 - q.gather(-1, at).exp().sum(-1)
            kl = kl + missing[..., 0] * (missing[..., 0].log() - others.log())
        found[rest] = student.objective.loss(student, rows).item()
        assert found[rest] == pytest.approx(float(kl.mean()), rel=2e-3)
    assert len({round(x, 2) for x in found.values()}) == 3
    ends = {rest: run(rest, signal="top-k", rest=rest)[0]["kl"] for rest in found}
    assert len(set(ends.values())) == 3


def test_relations_are_weighed_25_and_50_times(tmp_path):
    context, rows = context_in(tmp_path / "one"), torch.tensor([3, 0])
    student, source = student_of(context, signal="data+rkd")
    ids, _, theirs, _ = of_teacher(student, source, context, rows)
    ours = student.model.hidden(ids[:, :-1]).detach()
    both = [x.flatten(0, 1) for x in (ours, theirs)]  # 30 positions, of which none is left out
    d = [torch.cdist(x, x) for x in both]
    n = len(d[0])
    d = [x / (x.sum() / (n * (n - 1))) for x in d]
    distance = F.smooth_l1_loss(*d, reduction="sum") / (n * (n - 1))
    e = [F.normalize(x[None] - x[:, None], dim=-1) for x in both]
    angles = [torch.einsum("jid,jkd->jik", x, x) for x in e]
    apart = F.smooth_l1_loss(*angles, reduction="none")
    apart.diagonal(dim1=1, dim2=2).zero_()
    angle = apart.sum() / (n * (n - 1) * (n - 2))
    data = F.cross_entropy(student.model.logits(ours).flatten(0, 1), ids[:, 1:].flatten())
    expected = float(data + 25 * distance + 50 * angle)
    found = student.objective.loss(student, rows).item()
    assert found == pytest.approx(expected, rel=2e-3)
    assert found != pytest.approx(float(data + 50 * distance + 25 * angle), rel=0.01)


def test_relations_of_queries_keys_and_values_do_not_look_ahead(tmp_path):
    context, rows = context_in(tmp_path / "one"), torch.tensor([3, 0])
    student, source = student_of(context, signal="data+minilm")
    ids, _, _, theirs = of_teacher(student, source, context, rows)
    hidden, ours = (x.detach() for x in hidden_states_and_qkv(student.model, ids[:, :-1]))
    data = F.cross_entropy(student.model.logits(hidden).flatten(0, 1), ids[:, 1:].flatten())

    def expected(mask):
        """Σ over queries, keys and values of the mean KL between relations to the unmasked positions."""
        total = 0.0
        for part in range(3):
            log_r = []
            for qkv in (ours, theirs):
                A = qkv.unflatten(2, (3, 2))[:, :, part].transpose(1, 2).double()  # both have two heads
                scores = (A @ A.mT / math.sqrt(A.shape[-1])).masked_fill(~mask, -1e9)
                log_r.append(scores.log_softmax(-1))
            total += float((log_r[1].exp() * (log_r[1] - log_r[0])).sum(-1).mean())
        return float(data) + total

    everything = torch.ones(15, 15, dtype=torch.bool)
    found = student.objective.loss(student, rows).item()
    assert found == pytest.approx(expected(everything.tril()), rel=2e-3)
    assert found != pytest.approx(expected(everything), rel=0.01)


def test_what_each_signal_costs(run):
    figures = {signal: run(signal, signal=signal)[0] for signal in ("data", "soft", "top-k", "data+feature")}
    assert figures["data"]["bytes_per_token"] == 0 < figures["top-k"]["bytes_per_token"]
    assert figures["soft"]["bytes_per_token"] == pytest.approx(2 * 40, rel=0.1)
    assert figures["data+feature"]["bytes_per_token"] == 2 * 24
    assert figures["data"]["total_compute"] == figures["data"]["compute"] == figures["soft"]["compute"]
    # The teacher's matrices: 3 · forward over 6 steps of 8 documents, 1 · over 24, of 15 tokens each.
    forward = 2 * (24 * 72 + 24 * 24 + 3 * 24 * 16 + 24 * 40)
    of_teacher = figures["soft"]["total_compute"] - figures["soft"]["compute"]
    assert of_teacher * 1e9 == pytest.approx(forward * 15 * (3 * 6 * 8 + 24))


def test_the_lead_of_a_teacher_that_is_worse_is_below_0_and_the_oracle_never_is(run):
    found, _ = run("worse", signal="data", teacher_steps=1, steps=60, eval_every=60)
    assert found["teacher/lead"] == found["kl_bits"] - found["teacher/kl_bits"] < 0
    oracle, _ = run("oracle", signal="soft", teacher="oracle")
    assert oracle["teacher/kl"] == 0 and oracle["teacher/lead"] == oracle["kl_bits"]


def test_damaged_outputs_are_named_and_made_again_on_request(run, tmp_path):
    whole, _ = run("whole", signal="soft")
    (file,) = (path for path in (tmp_path / "cache").glob("*/outputs"))
    data = bytearray(file.read_bytes())
    data[500] ^= 1
    file.write_bytes(data)
    with pytest.raises(Unusable, match=r"outputs is altered in block 0.*rebuild=True"):
        run("again", signal="soft")
    assert run("rebuilt", signal="soft", rebuild=True)[0] == whole


def test_a_teacher_that_is_nan_is_refused(tmp_path):
    context, params = context_in(tmp_path / "one"), Params(**TINY)
    source = source_of(params)
    teacher = teacher_of(params, source, context)
    train_teacher(context, teacher)
    (file,) = (tmp_path / "cache").glob("*/model.pt")
    state = torch.load(file, weights_only=True)
    state["weights"]["head.weight"][3] = math.nan
    torch.save(state, file)
    with pytest.raises(ValueError, match="no distribution at sequence 0, token 0: NaN"):
        TeacherOutputs(source, teacher, params.documents, 0).full(context)
    objective = Objective(transfer_text(source, 4, 0), {"data": 1.0}, {}, None, None, teacher.config)
    assert (
        Student(
            Transformer(config_of(params, source.view.size, params.columns)), Recipe(1, 2), objective, 0
        ).learn()
        > 0
    )  # the data need no teacher


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"signal": "sotf"}, "no signal 'sotf'. Did you mean soft?"),
        ({"signal": "feature"}, r"feature tells nothing of tokens; write data\+feature"),
        ({"signal": "data+data"}, "the signal data stands there twice"),
        ({"signal": "data+0*soft"}, "the weight of soft is 0; it must be above 0 and finite"),
        ({"signal": "data+much*soft"}, "the weight of soft is 'much', which is no number"),
        (
            {"signal": "data+feature", "teacher": "oracle"},
            "the oracle has nothing inside to learn feature from",
        ),
        ({"teacher": "oracle"}, "data takes nothing from a teacher"),
        (
            {"signal": "data+minilm", "heads": 4, "teacher_d_model": 18, "teacher_heads": 3},
            "minilm splits both widths",
        ),
        ({"k": 41}, "k is 41, but the vocabulary has 40 tokens"),
        ({"k": 0}, "greater than or equal to 1"),
        ({"temperature": 0}, "greater than 0"),
        ({"d_model": 15}, "d_model is 15; it must be an even multiple of its 2 heads"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained(changes, message):
    with pytest.raises(ValueError, match=message):
        Params(**TINY | changes)


def test_signals_with_their_weights():
    assert signal_terms("top-k") == {"top-k": 1.0}
    assert signal_terms("data+100*similarity") == {"data": 1.0, "similarity": 100.0}


@pytest.mark.slow
def test_a_whole_run_has_its_gap_and_its_headings(lab, tmp_path):
    experiment = {
        "name": "kd-tiny", "title": "t", "question": "?", "trial": "distill", "seeds": 2, "baseline": "data",
        "params": TINY | {"steps": 40, "teacher_steps": 60, "eval_every": 20},
        "variants": {
            "data": {"group": "no teacher", "signal": "data"},
            "soft": {"group": "response", "signal": "soft", "teacher": "oracle"},
            "feature": {"group": "feature", "signal": "data+feature"},
        },
        "metrics": {
            "kl_bits": {"kind": "trained", "better": "lower"},
            "gap": {"kind": "trained", "unit": "%", "gap": {"of": "kl_bits", "zero": "data", "whole": "soft"}},
        },
    }  # fmt: skip
    (tmp_path / "kd-tiny.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
    done = lab("run", "kd-tiny.yaml", "--workers", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    (metrics,) = tmp_path.glob("results/kd-tiny/*/metrics.csv")
    rows = list(csv.DictReader(metrics.open()))
    kl = {(row["variant"], row["replicate"]): float(row["kl_bits"]) for row in rows}
    for row in rows:
        data, soft = kl["data", row["replicate"]], kl["soft", row["replicate"]]
        share = 100 * (data - kl[row["variant"], row["replicate"]]) / (data - soft)
        assert float(row["gap"]) == pytest.approx(share)
    shown = lab("compare", "kd-tiny").stdout
    positions = [shown.index(word) for word in ("no teacher", "response", "soft", "feature")]
    assert positions == sorted(positions)
