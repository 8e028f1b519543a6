"""Stores that other processes share: one deletes the collection that others have open."""

from kvasir.testing.store_cases import make_chunk, make_vectors, search_texts


class DeletedByAnother:
    """Tests of a store with the fixture ``opened`` of the contract."""

    def test_a_collection_that_another_deleted_is_written_again(self, opened):
        first, second = opened(), opened()
        first.upsert([make_chunk(0, "falcon")], make_vectors(1))
        assert second.count() == 1
        second.drop()
        first.upsert([make_chunk(1, "falcon nest")], make_vectors(1))
        (hits,) = search_texts(first, ["falcon"], ["en"], 5)
        assert [hit.chunk.text for hit in hits] == ["falcon nest"]
        assert opened().count() == 1

    def test_a_collection_that_another_deleted_and_made_again_is_read(self, opened):
        first, second = opened(), opened()
        first.upsert([make_chunk(0, "falcon")], make_vectors(1))
        assert len(search_texts(first, ["falcon"], ["en"], 5)[0]) == 1
        second.drop()
        third = opened()
        assert len(search_texts(first, ["falcon"], ["en"], 5)[0]) == 0
        third.upsert([make_chunk(1, "falcon nest")], make_vectors(1))
        assert first.count() == 1
        assert [chunk.text for chunk in first.fetch_chunks([make_chunk(1).id])] == ["falcon nest"]
        assert len(first.search(make_vectors(1), 5)[0]) == 1
        (hits,) = search_texts(first, ["falcon"], ["en"], 5)
        assert [hit.chunk.text for hit in hits] == ["falcon nest"]
        first.delete([make_chunk(1).id])
        assert third.count() == 0

    def test_a_collection_that_another_deleted_can_be_deleted(self, opened):
        first, second = opened(), opened()
        first.upsert([make_chunk(0, "falcon")], make_vectors(1))
        second.drop()
        first.drop()
        assert opened().count() == 0
