from contextlib import ExitStack, closing

import pytest
from databases import ENGINES, database

from kvasir.catalog.sql import SqlCatalog


@pytest.fixture(scope="session")
def database_urls(tmp_path_factory):
    """Gives the URL of a database of an engine, made when first asked for, dropped at the end."""
    made = {}
    with ExitStack() as stack:

        def url(engine):
            if engine not in made:
                folder = tmp_path_factory.mktemp(engine)
                made[engine] = stack.enter_context(database(engine, folder))
            return made[engine]

        yield url


@pytest.fixture(params=ENGINES)
def catalog_url(request, database_urls):
    """The URL of a catalog without collections."""
    url = database_urls(request.param)
    with closing(SqlCatalog(url)) as catalog:
        for record in catalog.collections():
            catalog.delete_collection(record.name)
    return url
