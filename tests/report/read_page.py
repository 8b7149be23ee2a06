"""Pages read back as a browser reads them."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "source"}


class Page(HTMLParser):
    """Tags with their attributes and the text between them; fails on a tag closed out of order or not at all."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def lines(self) -> list[str]:
        """Each text without the space around it."""
        return [text.strip() for text in self.text]

    @property
    def words(self) -> str:
        """All text in one line."""
        return " ".join("".join(self.text).split())

    def named(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        """Attributes of every such tag whose values begin as wanted."""
        return [
            a for name, a in self.tags if name == tag and all(str(a.get(k)).startswith(v) for k, v in wanted.items())
        ]

    def having(self, attribute: str, tag: str | None = None) -> list[dict[str, str | None]]:
        """Attributes of every tag, or every such tag, that has one of them."""
        return [a for name, a in self.tags if attribute in a and tag in (None, name)]
