"""Rewrites the asserts of test modules ahead, each worker those of its share.

Every worker imports all modules of tests at the same time, and where none is in the cache, as in a
new checkout, every worker would rewrite all.
"""

from pathlib import Path

import pytest
from _pytest.assertion import rewrite


def rewrite_share(config: pytest.Config, number: int, workers: int) -> None:
    """Write the compiled modules that worker ``number`` is to make, unless they are there.

    pytest has no function for it; these are the steps of its import hook. With ``--assert=plain``
    nothing is rewritten.
    """
    state = config.stash.get(rewrite.assertstate_key, None)
    if state is None:
        return
    folders = [folder for each in config.args if (folder := Path(each.partition("::")[0])).is_dir()]
    files = sorted({file for folder in folders for file in folder.rglob("test_*.py")})
    for file in files[number::workers]:
        cache = rewrite.get_cache_dir(file)
        compiled = cache / (file.name[:-3] + rewrite.PYC_TAIL)
        if rewrite._read_pyc(file, compiled) is None and rewrite.try_makedirs(cache):
            source, code = rewrite._rewrite_test(file, config)
            rewrite._write_pyc(state, code, source, compiled)
