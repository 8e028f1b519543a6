"""The options that choose files of the given folders."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from kvasir.core.errors import RequestError
from kvasir.core.text import has_scheme, is_bucket
from kvasir.core.types import Listing, LocalFile
from kvasir.frontends.cli.paths import identity

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class FolderOptions:
    """Which files of a folder to read; fields as those of ``LocalFile``."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    ignore_files: bool = True

    def sources(self, typed: tuple[str, ...]) -> list[LocalFile | Listing | str]:
        """Return typed sources: paths as local files, buckets as lists, addresses unchanged.

        Raises:
            RequestError: A path is empty.
        """
        if "" in typed:
            raise RequestError("the name of a source is empty: name a file, folder or address")
        chosen = self.include, self.exclude, self.ignore_files

        def source(text: str) -> LocalFile | Listing | str:
            if is_bucket(text):
                return Listing(text)
            return text if has_scheme(text) else LocalFile(identity(text), *chosen)

        return list(map(source, typed))


def with_folder_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options; passes them as ``folders``."""

    @click.option(
        "--include",
        multiple=True,
        metavar="GLOB",
        help="Of the folders, read matching files only, such as '*.md'.",
    )
    @click.option(
        "--exclude",
        multiple=True,
        metavar="GLOB",
        help="Leave out matching files and folders, as a line of .gitignore does.",
    )
    @click.option(
        "--ignore/--no-ignore",
        "ignore_files",
        default=True,
        show_default=True,
        help="Honour .gitignore and .kvasirignore files.",
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        include: tuple[str, ...],
        exclude: tuple[str, ...],
        ignore_files: bool,
        **kwargs: Any,
    ) -> R:
        return command(*args, folders=FolderOptions(include, exclude, ignore_files), **kwargs)

    return wrapped
