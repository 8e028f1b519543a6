"""Rights on collections in the database.

A collection without a record, such as one that the command line made, belongs to the owner of the
data folder: only administrators may read it until they share it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from kvasir.accounts.tables import collection_access, collection_members, users
from kvasir.core.errors import ConflictError, NotFoundError
from kvasir.core.services.accounts import Caller, CollectionAccess, Role, Scope, Visibility
from kvasir.database import reading, writing


class Access:
    """Records and checks who may read and write collections."""

    def __init__(self, engine: Engine) -> None:
        """Use a migrated database."""
        self._engine = engine

    def get(self, collection: str) -> CollectionAccess:
        """Return who may read and write a collection."""
        named = collection_members.c.collection == collection
        with reading(self._engine) as connection:
            row = connection.execute(_record(collection)).first()
            if row is None:
                return CollectionAccess(collection)
            members = connection.execute(
                select(collection_members).where(named).order_by(collection_members.c.user_id)
            ).all()
        return CollectionAccess(
            collection,
            row.owner_id,
            Visibility(row.visibility),
            readers=tuple(each.user_id for each in members if not each.may_write),
            writers=tuple(each.user_id for each in members if each.may_write),
        )

    def set(self, access: CollectionAccess) -> None:
        """Record who may read and write a collection."""
        values = {"owner_id": access.owner_id, "visibility": access.visibility}
        name = access.collection
        try:
            with writing(self._engine) as connection:
                _check_users(connection, access)
                # Locks the record, so that two changes do not mix.
                if connection.execute(_record(name).with_for_update()).first():
                    same = collection_access.c.collection == name
                    connection.execute(update(collection_access).where(same).values(**values))
                else:
                    connection.execute(insert(collection_access).values(collection=name, **values))
                named = collection_members.c.collection == name
                connection.execute(delete(collection_members).where(named))
                may_write = dict.fromkeys(access.readers, False)
                may_write |= dict.fromkeys(access.writers, True)
                rows = [
                    {"collection": name, "user_id": user_id, "may_write": writes}
                    for user_id, writes in may_write.items()
                ]
                if rows:
                    connection.execute(insert(collection_members), rows)
        except IntegrityError as error:
            raise ConflictError(
                f"the rights on collection '{name}' were changed at the same time: try again"
            ) from error

    def names(self, owner_id: int | None) -> list[str]:
        """Return the names of collections with recorded rights, of one owner or of all."""
        record = collection_access.c
        query = select(record.collection).order_by(record.collection)
        if owner_id is not None:
            query = query.where(record.owner_id == owner_id)
        with reading(self._engine) as connection:
            return list(connection.execute(query).scalars())

    def claim(self, collection: str, user_id: int) -> bool:
        """Make a user the owner of a new collection; False if rights are recorded already."""
        row = {"collection": collection, "owner_id": user_id, "visibility": Visibility.PRIVATE}
        try:
            with writing(self._engine) as connection:
                if connection.execute(_record(collection)).first():
                    return False
                connection.execute(insert(collection_access).values(**row))
        except IntegrityError:
            # Another process recorded some since.
            return False
        return True

    def forget(self, collection: str) -> None:
        """Forget the rights on a collection."""
        with writing(self._engine) as connection:
            same = collection_access.c.collection == collection
            connection.execute(delete(collection_access).where(same))

    def readable(self, caller: Caller, collections: Iterable[str]) -> list[str]:
        """Return those of the collections that the caller may search."""
        if not caller.has(Scope.READ) or caller.must_change_password:
            return []
        if _is_administrator(caller):
            return list(collections)
        record, member = collection_access.c, collection_members.c
        mine = and_(member.collection == record.collection, member.user_id == caller.user_id)
        may_read = or_(
            record.owner_id == caller.user_id,
            record.visibility == Visibility.PUBLIC,
            and_(record.visibility == Visibility.SHARED, member.user_id.is_not(None)),
        )
        query = select(record.collection).outerjoin(collection_members, mine).where(may_read)
        with reading(self._engine) as connection:
            allowed = set(connection.execute(query).scalars())
        return [name for name in collections if name in allowed]

    def may_read(self, caller: Caller, collection: str) -> bool:
        """Return True if the caller may search the collection."""
        return caller.has(Scope.READ) and self._may(caller, collection, write=False)

    def may_write(self, caller: Caller, collection: str) -> bool:
        """Return True if the caller may change documents of the collection."""
        return caller.has(Scope.WRITE) and self._may(caller, collection, write=True)

    def _may(self, caller: Caller, collection: str, *, write: bool) -> bool:
        if caller.must_change_password:
            return False
        if _is_administrator(caller):
            return True
        record, member = collection_access.c, collection_members.c
        mine = and_(member.collection == record.collection, member.user_id == caller.user_id)
        query = (
            select(record.owner_id, record.visibility, member.may_write)
            .outerjoin(collection_members, mine)
            .where(record.collection == collection)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).first()
        if row is None:
            return False
        if row.owner_id == caller.user_id:
            return True
        if row.visibility == Visibility.PRIVATE:
            return False
        if write:
            return bool(row.may_write)
        return row.visibility == Visibility.PUBLIC or row.may_write is not None


def _is_administrator(caller: Caller) -> bool:
    """Return True if the rights on collections do not limit the caller.

    The scopes of the credential limit what is done, the role of its user limits to what.
    """
    return caller.user is None or caller.user.role is Role.ADMIN


def _record(collection: str) -> Any:
    return select(collection_access).where(collection_access.c.collection == collection)


def _check_users(connection: Connection, access: CollectionAccess) -> None:
    named = {access.owner_id, *access.readers, *access.writers} - {0}
    found = connection.execute(select(users.c.id).where(users.c.id.in_(named))).scalars()
    if unknown := named - set(found):
        raise NotFoundError(f"there is no user '{min(unknown)}'")
