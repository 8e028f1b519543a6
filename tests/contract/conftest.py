from contextlib import ExitStack

import pytest
from databases import ENGINES, database
from sqlalchemy import delete

from kvasir.catalog.tables import collections
from kvasir.database import open_database, writing


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
    engine = open_database(url)
    with writing(engine) as connection:
        connection.execute(delete(collections))
    engine.dispose()
    return url
