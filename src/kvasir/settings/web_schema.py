"""The settings of the search of the web."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SecretStr

from kvasir.settings.section import Seconds, Section


class WebSearchSettings(Section):
    """The search engine whose results are ingested."""

    type: str | None = Field(
        None, description="ddgs, searxng, or a plug-in; searxng when base_url is set, else ddgs"
    )
    base_url: str | None = Field(None, description="the server, such as http://localhost:8888")
    api_key: SecretStr | None = None
    max_results: int = Field(10, ge=1, le=100, description="most pages of one search")
    page_timeout: Seconds = Field(20.0, gt=0, description="seconds for one page")
    options: dict[str, Any] = Field(default_factory=dict, description="the engine's own options")

    @property
    def chosen(self) -> str:
        """The engine's name."""
        return self.type or ("searxng" if self.base_url else "ddgs")

    @property
    def arguments(self) -> dict[str, Any]:
        """The engine's constructor options, those that are set."""
        key = self.api_key.get_secret_value() if self.api_key else None
        given = {"base_url": self.base_url, "api_key": key}
        return {name: each for name, each in given.items() if each is not None} | self.options
