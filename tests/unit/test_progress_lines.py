"""Progress where there is no terminal: one line every ten seconds."""

import pytest

from kvasir.core.run import Progress
from kvasir.frontends.cli.long_work import ProgressLines
from kvasir.frontends.cli.rates import duration


def test_a_line_every_ten_seconds_tells_all_stages(capsys):
    now = 0.0
    lines = ProgressLines(lambda: now)
    for second in range(26):
        now = float(second)
        left = 190.0 - second
        lines(Progress("documents", second // 5, 20, "documents", remaining=left))
        lines(Progress("passages", 30 * second, 4000, "chunks", remaining=left))
    assert capsys.readouterr().err.splitlines() == [
        "documents 2 of 20 (0.2/s), passages 270 of 4000 (27/s), about 3 min left",
        "documents 4 of 20 (0.2/s), passages 570 of 4000 (28/s), about 3 min left",
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(4.4, "4 s"), (59.0, "59 s"), (170, "3 min"), (7_500, "2 h 5 min")]
)
def test_durations_are_short(seconds, shown):
    assert duration(seconds) == shown
