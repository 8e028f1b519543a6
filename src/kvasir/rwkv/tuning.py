"""Tune a base: a state, a LoRA or a PiSSA adapter, with checkpoints from which a run goes on.

- ``state`` trains the state before the first token, and nothing else (State-Tune).
- ``lora`` and ``pissa`` train low-rank matrices beside the linear modules, with Hugging Face's
  ``peft``. PiSSA starts from the strongest directions of the weights; it is written as an adapter
  that needs no changed weights.

The batches follow from the seed and the step, and a checkpoint has the optimizer, so that a run
that was killed goes on with the same losses.
Source: https://github.com/JL-er/RWKV-PEFT; Hu et al. 2021, arXiv 2106.09685; Meng et al. 2024,
arXiv 2404.02948
"""

from __future__ import annotations

import hashlib
import json
import math
import pickle
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from kvasir.core.errors import ComponentError, MissingExtraError, SettingsError
from kvasir.core.replaced_files import replace_file, replace_text
from kvasir.core.run import Run
from kvasir.core.wire import dumps
from kvasir.rwkv.adapter_files import save_adapter
from kvasir.rwkv.adapters import Adapter, LowRank
from kvasir.rwkv.state import State
from kvasir.rwkv.state_files import save_time_state
from kvasir.rwkv.tune_options import PISSA, STATE, TuneOptions, make_trainable
from kvasir.rwkv.tuning_data import (
    IGNORED,
    Example,
    batch_of,
    micro_batches,
    packed,
    split,
    tensors_of,
)
from kvasir.rwkv.weights import DAMAGE, Rwkv

CHECKPOINT, METRICS = "checkpoint.pt", "metrics.jsonl"
STATE_FILE, ADAPTER_FOLDER, BOARD = "state.pth", "adapter", "tensorboard"


@dataclass(frozen=True, slots=True)
class TuneResult:
    """What a tuning came to; losses are in nats a token, of the held-out examples."""

    steps: int
    before: float
    best: float
    ended_early: bool
    file: Path


class Tuning:
    """One run of tuning in a folder."""

    def __init__(
        self,
        model: Rwkv,
        fingerprint: str,
        examples: Sequence[Example],
        folder: Path,
        options: TuneOptions,
        report: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        """Prepare a run, or go on with the one in the folder.

        Args:
            model: The base, which the run changes: not one that others use.
            fingerprint: That of the base.
            examples: With those that are held out.
            folder: Where checkpoint, metrics and result are written.
            options: How it is tuned.
            report: Takes each line of the metrics.

        Raises:
            SettingsError: The folder has a run of another base, with other examples or with other
                options, or there are too few examples.
            ComponentError: The checkpoint in the folder is damaged.
            MissingExtraError: ``peft`` or TensorBoard is needed and not installed.
        """
        self._model, self._fingerprint = model, fingerprint
        self._folder, self._options, self._report = folder, options, report
        self._train, self._held_out = split(examples, options.held_out, options.seed)
        self._identity = self._make_identity()
        torch.manual_seed(options.seed)
        self._parameters = make_trainable(model, options)
        self._start = {n: p.detach().clone() for n, p in self._parameters.items()}
        if options.kind != PISSA:
            self._start = {}
        self._optimizer = torch.optim.AdamW(
            self._parameters.values(), betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0
        )
        self._step, self._before, self._best, self._worse = 0, math.nan, math.inf, 0
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()
        self._board = _board(folder / BOARD, self._step) if options.tensorboard else None

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained, by name."""
        return self._parameters

    def run(self, run: Run | None = None) -> TuneResult:
        """Train until the last step, or until the held-out loss gets no better.

        Raises:
            ComponentError: The loss is no number any more.
            StoppedError: The run was stopped; the next one goes on from the last checkpoint.
        """
        run, options = run or Run(), self._options
        ended_early = self._is_over
        if self._step == 0 and math.isnan(self._before):
            self._before = self._best = self.evaluate(run)
            self._check(self._before)
            self._keep_best()
            self._save()
            self._log({"step": 0, "held_out": self._before})
        while self._step < options.steps and not ended_early:
            loss = self._update(run)
            self._step += 1
            self._check(loss)
            entry: dict[str, Any] = {"step": self._step, "loss": loss}
            is_last = self._step == options.steps
            if self._step % options.evaluate_every == 0 or is_last:
                entry["held_out"] = self._judge(run)
                self._log(entry)
                self._save()
                ended_early = self._is_over and not is_last
            else:
                self._log(entry)
            run.report("tuning", self._step, options.steps, "steps")
        if self._board is not None:
            self._board.close()
        return TuneResult(self._step, self._before, self._best, ended_early, self.result)

    @property
    def result(self) -> Path:
        """The file or the folder of the best state or adapter so far."""
        is_state = self._options.kind == STATE
        return self._folder / (STATE_FILE if is_state else ADAPTER_FOLDER)

    @torch.no_grad()
    def evaluate(self, run: Run | None = None) -> float:
        """Return the loss of the held-out examples, or of all if none are, in nats a token.

        Raises:
            StoppedError: The run was stopped.
        """
        run = run or Run()
        examples = self._held_out or self._train
        total, count = 0.0, 0
        for part in micro_batches(examples, self._options.micro_batch):
            run.check()
            loss, tokens = self.loss(part)
            total, count = total + loss.item(), count + tokens
        return total / count

    def loss(self, examples: Sequence[Example]) -> tuple[Tensor, int]:
        """Return the summed loss of examples and the number of learnt tokens."""
        device = self._model.emb.weight.device
        inputs, targets, lengths = tensors_of(examples, device)
        hidden, _ = self._model.read(
            inputs,
            self._initial_state(len(examples)),
            lengths,
            recompute=self._options.recompute and torch.is_grad_enabled(),
        )
        learnt = targets != IGNORED
        logits = self._model.head(hidden[learnt])
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return functional.cross_entropy(logits, targets[learnt], reduction="sum"), len(logits)

    def _initial_state(self, rows: int) -> State | None:
        if self._options.kind != STATE:
            return None
        zero = self._model.zero_state()
        wkv = torch.stack(list(self._parameters.values())).unsqueeze(1).float()
        return State(zero.shift, wkv).expand(rows)

    def _update(self, run: Run) -> float:
        options = self._options
        examples = batch_of(self._train, self._step, options.batch, options.seed)
        count = sum(sum(example.is_learnt[1:]) for example in examples)
        for group in self._optimizer.param_groups:
            group["lr"] = options.rate(self._step)
        self._optimizer.zero_grad(set_to_none=True)
        total = 0.0
        rows = packed(examples, options.pack) if options.pack else examples
        for part in micro_batches(rows, options.micro_batch):
            run.check()
            loss, _ = self.loss(part)
            (loss / count).backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        nn.utils.clip_grad_norm_(self._parameters.values(), 1.0)
        self._optimizer.step()
        return total / count

    def _judge(self, run: Run) -> float:
        """Evaluate, keep the result if it is the best so far, and return the loss."""
        loss = self.evaluate(run)
        self._check(loss)
        if loss < self._best:
            self._best, self._worse = loss, 0
            self._keep_best()
        else:
            self._worse += 1
        return loss

    @property
    def _is_over(self) -> bool:
        return bool(self._options.patience) and self._worse >= self._options.patience

    def _keep_best(self) -> None:
        if self._options.kind == STATE:
            save_time_state(self._parameters, self.result, self._fingerprint)
        else:
            save_adapter(self.adapter(), self.result, self._fingerprint)

    def adapter(self) -> Adapter:
        """Return the adapter as it is now, for the unchanged base."""
        options, parts = self._options, {}
        scale = 1.0 if options.kind == PISSA else options.alpha / options.rank
        for key, a in self._parameters.items():
            if ".lora_A." not in key:
                continue
            other = key.replace(".lora_A.", ".lora_B.")
            first, second = a.detach().clone(), self._parameters[other].detach().clone()
            if self._start:
                first = torch.cat([first, -self._start[key]])
                second = torch.cat([second, self._start[other]], 1)
            parts[key.partition(".lora_A.")[0]] = LowRank(first, second, scale)
        return Adapter(parts)

    def _make_identity(self) -> str:
        """Return what a run must have in common with the one that it goes on with."""
        seen = hashlib.sha256()
        for example in (*self._train, *self._held_out):
            seen.update(array("q", [len(example.tokens), *example.tokens]).tobytes())
        return f"{self._fingerprint} {seen.hexdigest()[:32]} {dumps(self._options)}"

    def _save(self) -> None:
        content = {
            "identity": self._identity,
            "step": self._step,
            "losses": [self._before, self._best, float(self._worse)],
            "parameters": {n: p.detach() for n, p in self._parameters.items()},
            "start": self._start,
            "optimizer": self._optimizer.state_dict(),
        }
        replace_file(self._folder / CHECKPOINT, lambda stream: torch.save(content, stream))

    def _resume(self) -> None:
        path = self._folder / CHECKPOINT
        if not path.is_file():
            (self._folder / METRICS).unlink(missing_ok=True)
            return
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
            is_same = found["identity"] == self._identity
        except (*DAMAGE, pickle.UnpicklingError) as error:
            why = f"{path} is damaged: delete it, and the run begins again ({error})"
            raise ComponentError("rwkv", "tuning", why) from error
        if not is_same:
            raise SettingsError(
                f"{self._folder} has a run of another base, with other examples or other options: "
                "choose another folder"
            )
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(found["parameters"][name])
            if found["start"]:
                self._restore_start(found["start"])
        self._optimizer.load_state_dict(found["optimizer"])
        self._step = found["step"]
        self._before, self._best = found["losses"][:2]
        self._worse = int(found["losses"][2])
        self._forget_later_metrics()

    def _restore_start(self, start: dict[str, Tensor]) -> None:
        """Take PiSSA's start out of the weights as the first run did, to the last bit."""
        for key, a in start.items():
            if ".lora_A." not in key:
                continue
            module = self._model.get_submodule(f"{key.partition('.lora_A.')[0]}.base_layer")
            other = key.replace(".lora_A.", ".lora_B.")
            weight: Any = module.weight
            weight += self._start[other] @ self._start[key] - start[other] @ a
        self._start = start

    def _check(self, loss: float) -> None:
        """Raise ``ComponentError`` if a loss is no number, from which nothing can be learnt."""
        if math.isfinite(loss):
            return
        advice = "use a lower learning rate, and another folder" if self._step else "check the base"
        why = f"the loss after {self._step} steps is no finite number: {advice}"
        raise ComponentError("rwkv", "tuning", why)

    def _log(self, entry: dict[str, Any]) -> None:
        with (self._folder / METRICS).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")
        if self._board is not None:
            for name, value in entry.items():
                if name != "step":
                    self._board.add_scalar(name, value, entry["step"])
        self._report(entry)

    def _forget_later_metrics(self) -> None:
        """Drop the lines of steps that are done again, and one that was cut off."""
        path = self._folder / METRICS
        if not path.is_file():
            return
        kept = [entry for entry in read_metrics(path) if entry["step"] <= self._step]
        lines = "".join(json.dumps(entry) + "\n" for entry in kept)
        replace_text(path, lines)


def _board(folder: Path, step: int) -> Any:
    """Return what writes for TensorBoard; steps after ``step`` are done again.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """
    # Imported only here: it is another extra, and takes a second.
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError("tensorboard", "tensorboard") from error
    writer: Any = SummaryWriter  # It has no types.
    return writer(str(folder), purge_step=step + 1)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file of metrics up to the first that is none, such as a cut one."""
    found = []
    for line in path.read_bytes().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            break
        if not isinstance(entry, dict) or "step" not in entry:
            break
        found.append(entry)
    return found
