"""Disks, memory, numbers and signals that fail: what the user is told, and what is left behind."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from interp import files
from interp.errors import ConfigError, Interrupted, MeasurementError, NoSpaceError, WriteError
from interp.files import require_room, write_atomically
from interp.measure import passes
from interp.measure.specialization.activations import NeuronCounter
from interp.measure.specialization.heads import FrozenHeads, TrainedHeads
from interp.results import load_result
from interp.results.storage import read_archive, write_archive
from tests.support.command import refused, run, run_process
from tests.support.measuring import measure_heads, measure_specialization
from tests.support.planted.language import planted_prompts
from tests.support.tiny import byte_tokenizer, opened

ARRAYS = {"x": np.arange(500_000, dtype=np.int64)}  # 4 MB, and does not compress to nothing
HEADS = {"n_blocks": 4, "batch_tokens": 400}
NEURONS = {**HEADS, "min_tokens": 100}
KINDS = pytest.mark.parametrize(
    ("measure", "options"), [(measure_specialization, NEURONS), (measure_heads, HEADS)]
)


@pytest.fixture
def loaded():
    return opened()


@pytest.fixture(scope="module")
def prompts():
    return planted_prompts(n_items=16)


class Failing:
    """A stream that fails after some bytes, as a full disk does."""

    def __init__(self, stream, room: int, number: int):
        self.stream, self.room, self.number = stream, room, number

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(self.number, os.strerror(self.number))
        return self.stream.write(data)

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stream.close()


@pytest.fixture
def full_disk(monkeypatch):
    def arm(room: int = 1000, number: int = errno.ENOSPC) -> None:
        real = os.fdopen
        monkeypatch.setattr(files.os, "fdopen", lambda *a, **k: Failing(real(*a, **k), room, number))

    return arm


# full, read-only and crowded disks


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("compress", [True, False])
def test_a_full_disk_leaves_the_earlier_result_and_no_rest(tmp_path, full_disk, number, compress):
    file = tmp_path / "r.npz"
    write_archive(file, {"kind": "old"}, {})
    full_disk(number=number)
    with pytest.raises(NoSpaceError) as caught:
        write_archive(file, {"kind": "new"}, ARRAYS, compress=compress)
    assert str(caught.value) == (
        f"{file} cannot be written: {os.strerror(number)}; 4.0 MB are needed; free some space and run the "
        "same command again."
    )
    assert caught.value.exit_code == 74
    assert [p.name for p in tmp_path.iterdir()] == ["r.npz"]
    assert read_archive(file)[0] == {"kind": "old"}


def test_a_disk_that_is_full_only_when_flushed(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(NoSpaceError, match="No space left on device; free some space"):
        write_atomically(tmp_path / "x", lambda stream: stream.write(b"1"))
    assert not list(tmp_path.iterdir())


def test_a_real_limit_on_file_size(tmp_path):
    code = (
        "import resource, numpy as np; from pathlib import Path\n"
        "from interp.results.storage import write_archive\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "x = np.random.default_rng(0).random(500_000)\n"
        f"write_archive(Path({str(tmp_path / 'r.npz')!r}), {{}}, {{'x': x}})"
    )
    done = run_process("-c", code)
    assert done.code == 1
    assert done.stderr.splitlines()[-1].endswith("r.npz cannot be written: File too large.")
    assert "ignored" not in done.stderr  # no second error while the first is handled
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "r.npz", tmp_path / "file" / "deeper" / "r.npz"):
        with pytest.raises(WriteError, match="cannot be written: "):
            write_archive(path, {}, {})
        with pytest.raises(WriteError, match="cannot be written: "):
            require_room(path.parent)
    with pytest.raises(WriteError, match="cannot be written: Is a directory"):
        write_archive(tmp_path, {}, {})
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_room_is_looked_for_before_the_work(tmp_path, loaded, prompts, monkeypatch):
    with pytest.raises(NoSpaceError, match=r"MB are free; 1000000000000\.0 MB are needed; free some space"):
        require_room(tmp_path, 10**18)
    require_room(tmp_path / "new" / "folder", 1000)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 2000}))
    monkeypatch.setattr(NeuronCounter, "add", lambda self, batch: pytest.fail("the pass began"))
    with pytest.raises(NoSpaceError, match=r"cannot be written: 0\.0 MB are free; 0\.0 MB are needed"):
        measure_specialization(loaded, prompts, resume=tmp_path / "x.partial", **NEURONS)


def command(checkpoints, out, *more):
    chosen = (
        "--ckpt",
        checkpoints["llama"],
        "--languages",
        "en,sw",
        "--limit",
        16,
        "--min-tokens",
        10,
        "--blocks",
        4,
    )
    return ("specialization", *chosen, "--units", "neurons", "--out", out, *more)


def test_on_the_command_line_a_full_disk_is_exit_74(checkpoints, tmp_path, full_disk):
    (tmp_path / "earlier.npz").write_bytes(b"kept")
    full_disk()
    line = refused(*command(checkpoints, tmp_path), code=74)
    assert line.startswith(f"{tmp_path}/")
    assert (
        "No space left on device; 0.0 MB are needed; free some space and run the same command again." in line
    )
    assert [p.name for p in tmp_path.iterdir()] == ["earlier.npz"]


def test_a_place_that_cannot_be_written_is_found_before_a_model_is_opened(checkpoints, tmp_path, no_model):
    (tmp_path / "file").touch()
    line = refused(*command(checkpoints, tmp_path / "file"))
    assert line == f"{tmp_path / 'file'} cannot be written: File exists."


def test_a_result_that_cannot_be_saved_keeps_the_state_of_its_pass(checkpoints, tmp_path, monkeypatch):
    from interp.results.specialization import SpecializationResult

    def full(self, path):
        raise NoSpaceError("full")

    monkeypatch.setattr(passes, "_SAVE_EVERY", -1.0)  # after every batch
    with monkeypatch.context() as once:
        once.setattr(SpecializationResult, "save", full)
        assert run(*command(checkpoints, tmp_path)).code == 74
    assert [p.suffix for p in tmp_path.iterdir()] == [".partial"]
    monkeypatch.setattr(NeuronCounter, "add", lambda self, batch: pytest.fail("counted again"))
    assert run(*command(checkpoints, tmp_path)).code == 0
    assert {p.suffix for p in tmp_path.iterdir()} == {".npz", ".csv"}


def test_killed_in_the_middle_of_writing(checkpoints, tmp_path):
    """What kill -9 leaves is a .tmp, which no run takes for a result."""
    target = tmp_path / "r.npz"
    code = (
        "import os, signal; from pathlib import Path; from interp.files import write_atomically\n"
        "def killed(s): s.write(b'half'); s.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        f"write_atomically(Path({str(target)!r}), killed)"
    )
    assert run_process("-c", code).code == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".r.npz.")
    assert left.name.endswith(".tmp")
    assert run(*command(checkpoints, tmp_path)).code == 0
    (result,) = tmp_path.glob("*.npz")
    assert load_result(result).n_blocks == 4
    assert left.exists()


def test_an_error_while_writing_is_not_hidden_and_leaves_nothing(tmp_path):
    for error in (KeyboardInterrupt, ZeroDivisionError):

        def fails(stream, error=error):
            stream.write(b"half")
            raise error

        with pytest.raises(error):
            write_atomically(tmp_path / "x", fails)
    assert not list(tmp_path.iterdir())


def test_what_is_written_has_the_users_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "x", lambda stream: stream.write(b"1"))
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


# memory


def too_large(kind, limit, error):
    real = kind.add

    def add(self, batch):
        if len(batch.items) > limit:
            raise error
        real(self, batch)

    return add


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["cuda", "python", "cpu"],
)
def test_a_batch_that_does_not_fit_is_halved_to_the_same_counts(loaded, prompts, monkeypatch, error):
    reference = measure_specialization(loaded, prompts, **NEURONS)
    assert reference.provenance.run["largest_batch"] == 10  # 400 tokens of 40
    monkeypatch.setattr(NeuronCounter, "add", too_large(NeuronCounter, 3, error))
    halved = measure_specialization(loaded, prompts, **NEURONS)
    assert halved.provenance.run["largest_batch"] == 3
    assert np.array_equal(halved.counts, reference.counts)
    assert np.array_equal(halved.tokens, reference.tokens)


def test_halved_batches_of_heads(loaded, prompts, monkeypatch):
    reference = measure_heads(loaded, prompts, **HEADS)
    monkeypatch.setattr(FrozenHeads, "add", too_large(FrozenHeads, 2, torch.OutOfMemoryError()))
    halved = measure_heads(loaded, prompts, **HEADS)
    assert halved.provenance.run["largest_batch"] == 2
    assert halved.magnitude == pytest.approx(reference.magnitude, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("kind", [NeuronCounter, TrainedHeads])
def test_one_item_that_does_not_fit_is_named(loaded, prompts, monkeypatch, kind):
    monkeypatch.setattr(kind, "add", too_large(kind, 0, torch.OutOfMemoryError()))
    measure, options = (
        (measure_specialization, NEURONS)
        if kind is NeuronCounter
        else (measure_heads, {**HEADS, "mask": "trained"})
    )
    with pytest.raises(
        MeasurementError, match=r"Item 'item-\d+' in 'en' alone \(40 tokens\) does not fit into memory; use a"
    ):
        measure(loaded, prompts, **options)


def test_another_error_is_not_taken_for_a_lack_of_memory(loaded, prompts, monkeypatch):
    monkeypatch.setattr(NeuronCounter, "add", too_large(NeuronCounter, 3, RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        measure_specialization(loaded, prompts, **NEURONS)


# numbers


@KINDS
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_name_layer_language_and_item(loaded, prompts, measure, options, value):
    """Only the letter 'q', which is Japanese in this text, is poisoned, and only in layer 1."""
    q = byte_tokenizer()("q")["input_ids"][0]

    def poison(module, args, output):
        hidden = output[0] if isinstance(output, tuple) else output
        hidden[seen["ids"] == q] = value
        return output

    seen: dict[str, torch.Tensor] = {}
    model = loaded.model
    model.get_input_embeddings().register_forward_pre_hook(lambda module, args: seen.update(ids=args[0]))
    model.model.layers[1].register_forward_hook(poison)
    with pytest.raises(MeasurementError) as caught:
        measure(loaded, prompts, **options)
    text = str(caught.value)
    assert "Activations are not finite from layer 1 on, first in item 'item-" in text
    assert "' in 'ja'. The model runs in float32; try --dtype float32, and check the weights." in text


def test_a_weight_that_turned_nan_is_never_counted_as_silence(loaded, prompts, monkeypatch):
    with torch.no_grad():
        loaded.architecture.layers[2].mlp.gate_proj.weight[5, 5] = float("nan")
    counters = []
    real = NeuronCounter.__init__
    monkeypatch.setattr(
        NeuronCounter, "__init__", lambda self, *a: (real(self, *a), counters.append(self))[0]
    )
    with pytest.raises(MeasurementError, match="Activations are not finite from layer 2 on, first in item"):
        measure_specialization(loaded, prompts, **NEURONS)
    assert counters[0].counts().sum() == 0


def test_gradients_that_are_not_finite(loaded, prompts, monkeypatch):
    from interp.measure.specialization import heads

    real = heads._loss_gradient

    def steep(model, batch, hidden):
        states, arriving = real(model, batch, hidden)
        swahili = torch.tensor([i.language == 1 for i in batch.items])[:, None].expand(batch.ids[:, 1:].shape)
        scored = batch.counted[:, 1:] & batch.attention[:, :-1].bool()
        return states, arriving.masked_fill(swahili[scored][:, None], float("inf"))

    monkeypatch.setattr(heads, "_loss_gradient", steep)
    with pytest.raises(
        MeasurementError,
        match=r"head gradients of item 'item-\d+' in 'sw' are not finite; try --dtype float32",
    ):
        measure_heads(loaded, prompts, **HEADS)


# too little


def test_too_few_tokens_say_how_many_and_how_uncertain(loaded, prompts):
    with pytest.raises(MeasurementError) as caught:
        measure_specialization(loaded, prompts, **{**NEURONS, "min_tokens": 641})
    assert str(caught.value) == (
        "Language 'en' has 640 tokens in 16 prompts; 641 are needed, because the standard error of a rate is "
        "up to 0.020. About 17 prompts would do; or lower min_tokens if you accept that."
    )
    measure_specialization(loaded, prompts, **{**NEURONS, "min_tokens": 640})


def test_too_few_items_for_heads(loaded, prompts):
    with pytest.raises(
        MeasurementError, match=r"Language 'en' has 16 prompts; 17 are needed, because .* is up to 0\.12\."
    ):
        measure_heads(loaded, prompts, min_items=17, **HEADS)


def test_one_block_has_no_interval(loaded, prompts):
    with pytest.raises(ConfigError, match="'blocks' is 1; a number of at least 2 is expected"):
        measure_specialization(loaded, prompts, **{**NEURONS, "n_blocks": 1})


def test_a_language_without_a_file_or_a_label(checkpoints, tmp_path):
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / "en.txt").write_text("some text\n" * 30)
    line = refused(*command(checkpoints, tmp_path / "out", "--data", folder))
    assert ("No text for sw in" in line, "which holds: en.txt" in line) == (True, True)
    rows = (
        '{"fact_id": "f%d", "relation": "r", "subject_id": "s%d", "object_id": "a", "option_ids": '
        '["a", "b"], "split": "test", "wording": %s}'
    )
    wording = '{"en": {"question": "Q?", "subject": "S", "options": ["A", "B"]}}'
    (tmp_path / "facts.jsonl").write_text("\n".join(rows % (i, i, wording) for i in range(20)) + "\n")
    line = refused(*command(checkpoints, tmp_path / "out", "--data", tmp_path / "facts.jsonl"))
    assert "sw" in line
    assert not (tmp_path / "out").exists()


# signals


def test_a_pass_in_a_thread_leaves_signals_alone(loaded, prompts):
    from concurrent.futures import ThreadPoolExecutor

    before = signal.getsignal(signal.SIGINT)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(measure_specialization, loaded, prompts, **NEURONS).result()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_first_signal_finishes_the_batch_and_the_second_ends_at_once(loaded, prompts, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    done = []
    real = NeuronCounter.add

    def add(self, batch, times=1):
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
        real(self, batch)
        done.append(batch)

    monkeypatch.setattr(NeuronCounter, "add", add)
    with pytest.raises(Interrupted, match="Stopped after 1 of 5 batches"):
        measure_specialization(loaded, prompts, **NEURONS)
    assert len(done) == 1
    monkeypatch.setattr(NeuronCounter, "add", lambda self, batch: add(self, batch, times=2))
    with pytest.raises(KeyboardInterrupt):
        measure_specialization(loaded, prompts, **NEURONS)
    assert len(done) == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_progress_counts_batches(loaded, prompts):
    seen = []
    measure_specialization(
        loaded, prompts, progress=lambda done, total: seen.append((done, total)), **NEURONS
    )
    assert seen == [(i, 5) for i in range(1, 6)]


def test_a_state_is_saved_once_a_minute(loaded, prompts, tmp_path, monkeypatch):
    clock = iter(range(0, 1000, 25))  # seconds: a look at the clock each batch
    monkeypatch.setattr(passes.time, "monotonic", lambda: next(clock))
    saves = []
    monkeypatch.setattr(passes, "write_archive", lambda path, meta, arrays, **o: saves.append(meta["done"]))
    measure_specialization(loaded, prompts, resume=Path(tmp_path / "x.partial"), **NEURONS)
    assert saves == [3]
