"""What the page says of documents that are indexed, failed or were just added."""

from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit.runtime.context import ContextProxy
from streamlit.testing.v1 import AppTest

from kvasir.core.errors import DocumentNotFoundError, NotFoundError
from kvasir.frontends.ui import adding, questions
from kvasir.frontends.ui.uploads import Added

FILES = """
import streamlit as st
from kvasir.frontends.ui import files
files.show(st.session_state["session"], st.session_state.get("name", "tea"))
"""
UPLOADS = """
import streamlit as st
from kvasir.frontends.ui import uploads
uploads.show(st.session_state["session"], "files", "tea")
"""
SEARCHES = """
import streamlit as st
from kvasir.frontends.ui import adding, questions
adding._search(st.session_state["session"], st.session_state["name"], "/v1/collections/x/documents")
"""
QUESTIONS = """
from kvasir.frontends.ui import questions
questions.show()
"""
EARLY, LATE = "2026-01-01T10:00:00+00:00", "2026-01-01T11:00:00+00:00"


class Server:
    """Has jobs and documents."""

    def __init__(self, jobs=(), records=()):
        self.jobs, self.records = list(jobs), list(records)

    def get(self, path, **query):
        if path == "/v1/jobs":
            return [each for each in self.jobs if each["state"] in query["state"]][::-1]
        if path.startswith("/v1/jobs/"):
            for each in self.jobs:
                if path.endswith("/" + each["id"]):
                    return each
            raise NotFoundError("there is no such job")
        if match := query.get("match"):
            found = [each for each in self.records if match in each["source_uri"]]
            if not found:
                raise DocumentNotFoundError(match, "tea")
            return found
        if not (source := query.get("source")):
            after = query.get("after", "")
            return [each for each in self.records if each["source_uri"] > after]
        found = [each for each in self.records if each["source_uri"] == source]
        if not found:
            raise DocumentNotFoundError(source, "tea")
        return found


def job(name, state, code="", message="", **more):
    return {
        "id": name,
        "task": "ingest_upload",
        "arguments": {"uri": f"upload:ana/{name}"},
        "state": state,
        "position": 0,
        "progress": None,
        "code": code,
        "message": message,
        "finished": LATE,
    } | more


def record(name, reason=None, message=None, indexed=EARLY):
    return {
        "id": name,
        "title": "",
        "source_uri": f"upload:ana/{name}",
        "status": "failed" if reason else "live",
        "chunk_count": 0,
        "error_reason": reason,
        "error_message": message,
        "indexed": indexed,
    }


@pytest.fixture(autouse=True)
def browser(monkeypatch):
    monkeypatch.setattr(ContextProxy, "cookies", property(lambda _: {}))
    monkeypatch.setattr(ContextProxy, "headers", property(lambda _: {}))
    monkeypatch.setattr(questions, "open_session", lambda: st.session_state["session"])


def draw(script, server, **state):
    page = AppTest.from_string(script, default_timeout=30)
    page.session_state["session"] = SimpleNamespace(api=server, email="")
    for name, value in state.items():
        page.session_state[name] = value
    page.run()
    assert not page.exception
    return page


def labels(page):
    return [each.label.replace("\\", "") for each in page.button]


def words(page):
    return " ".join(each.value for each in [*page.markdown, *page.caption]).replace("\\", "")


def test_a_file_that_cannot_be_read_is_in_the_list_alone_and_is_not_tried_again():
    said = "the file needs a password"
    failed = job("secret.pdf", "failed", "unreadable_source", said)
    page = draw(FILES, Server([failed], [record("secret.pdf", "encrypted", said)]))
    assert not page.subheader
    assert words(page).count(said) == 1
    assert labels(page) == ["Delete secret.pdf"]


def test_a_fault_of_the_service_is_in_the_list_and_may_be_tried_again():
    failed = job("tea.md", "failed", "component_unreachable", "the embedder is away")
    page = draw(FILES, Server([failed]))
    assert not page.subheader
    assert "the embedder is away" in words(page)
    assert labels(page) == ["Try tea.md again"]


def test_a_request_that_cannot_succeed_is_not_tried_again():
    page = draw(FILES, Server([job("tea.md", "failed", "forbidden", "you may not write")]))
    assert "you may not write" in words(page) and labels(page) == []


def test_a_page_that_could_not_be_fetched_may_be_tried_again():
    given = {"url": "https://example.org/a.html"}
    page = draw(FILES, Server([job("a", "failed", "not_fetched", "no answer", arguments=given)]))
    assert labels(page) == ["Try a.html again"]


def test_a_failure_is_gone_once_the_file_was_indexed_later():
    failed = job("tea.md", "failed", "component_unreachable", "the embedder is away")
    page = draw(FILES, Server([failed], [record("tea.md", indexed="2026-01-01T12:00:00Z")]))
    assert "the embedder is away" not in words(page)
    page = draw(FILES, Server([failed], [record("tea.md")]))
    assert "the embedder is away" in words(page)


def test_a_file_is_once_in_the_list_however_often_it_failed():
    failed = [
        job("tea.md", "failed", "component_unreachable", said, id=said) for said in ("one", "two")
    ]
    page = draw(FILES, Server(failed))
    assert "two" in words(page) and "one" not in words(page)


def test_a_failure_is_gone_once_the_same_work_was_done():
    away = ("component_unreachable", "the embedder is away")
    failed, done = job("tea.md", "failed", *away), job("tea.md", "done", id="later")
    assert "away" not in words(draw(FILES, Server([failed, done])))
    folder = {"arguments": {"path": "notes"}, "task": "ingest_folder"}
    runs = [job("one", "failed", *away, **folder), job("two", "done", **folder)]
    assert "away" not in words(draw(FILES, Server(runs)))


def test_the_last_failure_of_a_file_counts_alone():
    said = "the file needs a password"
    away = job("a.pdf", "failed", "component_unreachable", "the embedder is away")
    locked = job("a.pdf", "failed", "unreadable_source", said, id="later")
    page = draw(FILES, Server([away, locked], [record("a.pdf", "encrypted", said)]))
    assert "away" not in words(page) and labels(page) == ["Delete a.pdf"]


def test_work_in_progress_has_no_failures():
    page = draw(FILES, Server([job("a.md", "running"), job("b.md", "failed", "error", "lost")]))
    assert [each.value for each in page.subheader] == ["In progress"]
    assert labels(page) == ["Cancel a.md", "Try b.md again"]


def test_what_was_cancelled_does_not_count():
    server = Server([job("a.md", "done"), job("b.md", "cancelled")])
    added = Added("tea", {each["id"]: each["id"] for each in server.jobs})
    draw(UPLOADS, server, **{"added-files": added})
    assert (added.count, added.ready) == (1, 1)


def test_an_upload_says_what_became_of_its_files():
    jobs = [job("a.md", "running"), job("b.md", "waiting"), job("c.md", "done")]
    server = Server(jobs)
    added = Added("tea", {each["id"]: each["id"] for each in jobs})
    page = draw(UPLOADS, server, **{"added-files": added})
    assert [each.value for each in page.info] == [
        "Uploaded: 3. Being indexed: 2. Ready for questions: 1."
    ]
    jobs[0] |= {"state": "done"}
    jobs[1] |= {"state": "failed", "message": "it is empty"}
    page.run()
    assert not page.exception and not page.info
    (said,) = [each.value for each in page.success]
    assert said == "Uploaded: 3. Indexing is done. Ready for questions: 2."
    (said,) = [each.value.replace("\\", "") for each in page.error]
    assert said == "b.md could not be indexed: it is empty"
    assert labels(page) == ["To the files", "Ask about it"]


def test_an_upload_of_which_nothing_can_be_read_is_no_success():
    added = Added("tea", {"b.md": "b.md"})
    server = Server([job("b.md", "failed", "unreadable_source", "it is empty")])
    page = draw(UPLOADS, server, **{"added-files": added})
    assert not page.success and not page.info and len(page.error) == 1
    assert labels(page) == ["To the files"]


def test_the_button_to_the_files_opens_their_section():
    added = Added("tea", {"a.md": "a.md"})
    page = draw(UPLOADS, Server([job("a.md", "done")]), **{"added-files": added})
    page.button[0].click().run()
    assert page.session_state["section-tea"] == "files"


def test_what_was_added_to_another_knowledge_base_is_not_shown():
    page = draw(UPLOADS, Server(), **{"added-files": Added("other", {"a.md": "a.md"})})
    assert not page.info and not page.success and not page.button


def test_each_knowledge_base_has_a_page_of_its_own():
    server = Server(records=[record(f"{number:02}.md") for number in range(30)])
    page = draw(FILES, server)
    assert labels(page)[-1] == "Next files"
    page.button[-1].click().run()
    assert labels(page)[-1] == "First files"
    assert "24.md" not in words(page) and "25.md" in words(page)
    page.session_state["name"] = "other"
    page.run()
    assert "00.md" in words(page) and labels(page)[-1] == "Next files"


def find(page, wanted):
    page.text_input[0].set_value(wanted).run()
    assert not page.exception


def test_a_search_for_a_name_that_no_file_has_says_so():
    page = draw(FILES, Server(records=[record("a.md")]))
    find(page, "b.md")
    assert [each.value for each in page.info] == ["No file has such a name."]
    assert not page.error and labels(page) == []
    find(page, "")
    assert "a.md" in words(page)


def test_a_search_has_pages_of_its_own_and_leaves_the_list_at_its_beginning():
    page = draw(FILES, Server(records=[record(f"{number:02}.md") for number in range(60)]))
    find(page, "md")
    for first, last in (("00.md", "24.md"), ("25.md", "49.md"), ("50.md", "59.md")):
        shown = words(page)
        assert first in shown and last in shown
        if last != "59.md":
            page.button[-1].click().run()
    assert labels(page)[-1] == "First files"
    page.button[-1].click().run()
    assert "00.md" in words(page) and "25.md" not in words(page)
    page.button[-1].click().run()
    find(page, "")
    assert "00.md" in words(page) and "First files" not in labels(page)


def test_the_first_files_are_shown_when_those_of_the_page_are_gone():
    server = Server(records=[record("a.md")])
    page = draw(FILES, server, **{"after-tea": ("", "upload:ana/z.md")})
    assert "a.md" in words(page)
    assert "First files" not in labels(page)


def test_a_web_search_is_shown_in_its_knowledge_base_until_it_is_over():
    search = job("s", "running", arguments={"query": "oolong"})
    server = Server([search])
    state = {"web_search-tea": adding._WebSearch("s")}
    page = draw(SEARCHES, server, name="tea", **state)
    assert "oolong" in page.info[0].value
    assert not draw(SEARCHES, server, name="other", **state).info
    search |= {"state": "done", "result": {"pages": []}}
    page.run()
    assert page.success and not page.session_state["web_search-tea"].is_open
    server.jobs.clear()
    state = {"web_search-tea": adding._WebSearch("s")}
    page = draw(SEARCHES, server, name="tea", **state)
    assert not page.error and not page.session_state["web_search-tea"].is_open


class Asked:
    """Has questions, the newest first."""

    def __init__(self, count):
        self.ids = [f"{number:03}" for number in range(count)][::-1]

    def get(self, path, **query):
        if path == "/v1/collections":
            return [{"name": "tea"}]
        before = query["before"]
        return [
            {
                **{"id": each, "state": "cancelled", "input": f"Question {each}", "position": 0},
                **{"collection": "tea", "date": EARLY, "reason": "", "output": "", "answer": None},
            }
            for each in self.ids
            if not before or each < before
        ][: query["limit"]]

    def post(self, path, body):
        self.ids.insert(0, f"{len(self.ids):03}")


def test_a_way_leads_back_to_the_newest_questions():
    page = draw(QUESTIONS, Asked(40))
    assert "Newest questions" not in labels(page)
    for _ in range(2):  # The second page is full, so that the third is empty.
        next(each for each in page.button if each.label == "Earlier questions").click().run()
    assert "Question 0" not in words(page)
    next(each for each in page.button if each.label == "Newest questions").click().run()
    assert "Question 039" in words(page) and "Newest questions" not in labels(page)


def test_a_question_that_is_asked_is_shown_with_the_newest():
    page = draw(QUESTIONS, Asked(21), before="001")
    assert "Question 000" in words(page)
    page.text_area[0].input("How hot?")
    page.button[0].click().run()
    assert not page.exception
    assert "Question 021" in words(page)
