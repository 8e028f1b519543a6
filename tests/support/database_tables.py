"""The MetaData with the tables of every package."""

import kvasir.accounts.tables
import kvasir.catalog.tables
import kvasir.jobs.tables
import kvasir.questions.tables  # noqa: F401 - each import adds its tables
from kvasir.database.metadata import metadata as metadata
