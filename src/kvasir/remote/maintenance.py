"""What keeps a collection at a server in order: the methods that work on the whole of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from kvasir.answering.refusal import Calibration
from kvasir.core.reports import CopyReport, Findings, ModelChange, Repairs
from kvasir.core.run import Run
from kvasir.core.text import replace_surrogates
from kvasir.core.types import StoreAddress
from kvasir.core.wire import from_json, to_json
from kvasir.evaluation.calibration import Fitted
from kvasir.evaluation.questions import QuestionsResult
from kvasir.remote.client import ServerClient
from kvasir.remote.progress import long_work

if TYPE_CHECKING:
    from kvasir.evaluation.question_sets import JudgedQuestion

T = TypeVar("T")


class RemoteMaintenance(ABC):
    """The part of ``RemoteCollection`` that takes long; ``Collection`` describes its methods."""

    _path: str

    @abstractmethod
    def _open(self) -> ServerClient:
        """Return the client of a lease that is not closed."""

    def optimize(self, *, wait: bool = False, run: Run | None = None) -> None:
        """Build the search graph where it is due; with ``wait``, return when it is in use."""
        self._long("optimize", "building the search graph", None, run, {"wait": wait})

    def copy(
        self,
        to: StoreAddress,
        *,
        name: str | None = None,
        exact: bool = False,
        run: Run | None = None,
    ) -> CopyReport:
        """Copy the collection to another store; nothing is embedded again."""
        content = {"to": to_json(to), "name": name, "exact": exact}
        return self._long("copy", "copying", CopyReport, run, content)

    def inspect(self, *, run: Run | None = None) -> Findings:
        """Compare catalog and store chunk by chunk; change nothing."""
        return self._long("inspect", "inspecting", Findings, run)

    def repair(self, *, run: Run | None = None) -> Repairs:
        """Make the store equal to the catalog; a stop after the first repair raises nothing."""
        return self._long("repair", "repairing", Repairs, run)

    def restore(self, *, run: Run | None = None) -> int:
        """Write the chunks that the store lacks, from the catalog; return how many."""
        return self._long("restore", "restoring", int, run)

    def use_model(
        self, name: str, *, kind: str | None = None, run: Run | None = None
    ) -> ModelChange:
        """Embed the collection again by another model, and use it from then on."""
        content = {"name": replace_surrogates(name), "kind": kind}
        return self._long("model", "embedding again", ModelChange, run, content)

    def calibrate(
        self,
        answered: Sequence[str] | None = None,
        unanswered: Sequence[str] | None = None,
        *,
        apply: bool | None = None,
        run: Run | None = None,
    ) -> Fitted:
        """Fit the decision to refuse to the collection, and keep it where it is better."""
        content = {
            "answered": None if answered is None else list(map(replace_surrogates, answered)),
            "unanswered": None if unanswered is None else list(map(replace_surrogates, unanswered)),
            "apply": apply,
        }
        return self._long("calibrate", "calibrating", Fitted, run, content)

    def keep_calibration(self, calibration: Calibration | None) -> None:
        """Store a decision to refuse with the collection; None restores the shipped one."""
        content = {"calibration": to_json(calibration)}
        self._open().send("PUT", f"{self._path}/calibration", "calibrating", json=content)

    def evaluate(
        self,
        questions: Sequence[JudgedQuestion],
        *,
        half: str | None = None,
        run: Run | None = None,
    ) -> QuestionsResult:
        """Ask questions whose good answers are known, and judge the answers."""
        content = {"questions": to_json(list(questions)), "half": half}
        return self._long("evaluate", "evaluating", QuestionsResult, run, content)

    def _long(
        self,
        route: str,
        operation: str,
        kind: type[T] | None,
        run: Run | None,
        content: Mapping[str, Any] | None = None,
    ) -> T:
        path = f"{self._path}/{route}"
        result = long_work(self._open(), path, operation, content or {}, run or Run())
        found: T = from_json(kind, result) if kind is not None else result
        return found
