"""Pages in the markup of five generators of manuals: what is theirs stays out of the chunks."""

import pytest

from kvasir.components.extractors.html import HtmlExtractor
from kvasir.components.splitters.structure import StructureSplitter
from kvasir.core.types import Chunk, Source

_WORDS = "The pump lifts water from the well into the tank until the float stops it."

SPHINX = f"""<html><head><title>pump — Moves water — Junk 3.1 manual</title></head><body>
<div class="mobile-nav"><nav role="navigation"><a href="i.html"><img alt="Junk"></a></nav></div>
<div class="related" role="navigation"><h3>Junk</h3><ul><li class="right">
<a href="n.html" accesskey="N">next</a> |</li><li><a href="i.html">Junk</a> &#187;</li></ul></div>
<div class="document"><div class="documentwrapper"><div class="body" role="main">
<section id="pump"><h1>pump<a class="headerlink" href="#pump" title="Permalink">¶</a></h1>
<p>{_WORDS}</p><dl class="py function"><dt class="sig" id="pump.start"><code>pump.start</code>(
<em>speed=1</em>)<a class="headerlink" href="#pump.start">¶</a></dt><dd><p>Start it.</p>
<div class="highlight"><pre>pump.start(2)</pre></div></dd></dl></section></div></div></div>
<div class="sphinxsidebar"><h4>Junk topic</h4><p><a href="p.html">Junk</a></p></div></div>
<div class="footer">&copy; Junk 2024. Created using Junk.</div></body></html>"""

DOCBOOK = f"""<html><head><title>pump</title><link rel="prev" href="p.html"/></head><body>
<div class="navheader"><table summary="Junk"><tr><th colspan="3">pump</th></tr><tr><td>
<a accesskey="p" href="p.html">Prev</a></td><th>Junk chapter</th><td><a href="n.html">Next</a></td>
</tr></table><hr/></div><div class="refentry"><div class="refnamediv"><h2>pump</h2>
<p>{_WORDS}</p></div><div class="refsect1"><h2>Parameters</h2><div class="variablelist"><dl>
<dt><span class="term"><em>pump.start</em></span></dt><dd><p>Start it.</p></dd></dl></div></div>
</div><div class="navfooter"><hr/><table summary="Junk"><tr><td><a href="p.html">Prev</a></td>
<td><a href="n.html">Next</a></td></tr><tr><td>Junk before</td><td>Junk after</td></tr></table>
</div>
</body></html>"""

ASCIIDOC = f"""<html><head><title>pump(1)</title><style>h1 {{color: red}}</style></head>
<body class="manpage"><div id="header"><h1>pump(1) Manual Page</h1><h2>NAME</h2>
<div class="sectionbody"><p>pump - moves water</p></div></div><div id="content"><div class="sect1">
<h2 id="_d">DESCRIPTION</h2><div class="sectionbody"><div class="paragraph"><p>{_WORDS}</p></div>
<div class="dlist"><dl><dt class="hdlist1">pump.start</dt><dt class="hdlist1">-s</dt><dd>
<p>Start it.
</p><div class="ulist"><ul><li><p>slowly</p></li></ul></div></dd></dl></div></div></div>
<div class="sect1"><h2 id="_p">JUNK</h2><div class="sectionbody"><div class="paragraph">
<p>Part of the <a href="p.html">Junk</a> suite</p></div></div></div></div>
<div id="footer"><div id="footer-text">Last updated 2024-05-31 00:35:55 UTC Junk</div></div></body>
</html>"""

PLAIN = f"""<html><head><title>Moving water</title></head><body><div class=nosearch>
<a href="i.html"><img class="logo" alt="Junk"></a><div class="tagline">Junk. Fast.</div>
<div class="menu mainmenu"><ul><li><a href="i.html">Junk</a><li><a href="d.html">Junk</a></ul></div>
<div class="searchmenu"><form action="search"><select name="s"><option>Junk</select>
<input type="text" name="q"></form></div></div><div class=fancy><div class=nosearch>
<div class="fancy_title">Moving water</div></div>
<div class="nosearch"><div class="toc_header">Junk contents</div><div class="toc_sub">
<a href="#one">1. Pumps</a></div></div><h1 id="one"><span>1. </span>Pumps</h1><p>{_WORDS}
<dl><dt><b>pump.start</b></dt><dd><p>Start it.</p></dd><a name="x"></a></dl>
<p align="center"><small><i>This page last modified on <a href="x">2022-01-20</a> Junk</i></small>
</p></body></html>"""

DIRECTIVES = f"""<html lang="en"><head><title>pump - Junk Version 2</title></head><body>
<div id="page-header"><p class="menu"><a href="m.html">Junk</a> | <a href="d.html">Junk</a></p>
<p class="apache">Junk 2</p></div><div class="up"><a href="i.html"><img alt="&lt;-"></a></div>
<div id="path"><a href="a">Junk</a> &gt; <a href="b">Junk</a></div><div id="page-content">
<div id="preamble"><h1>Module pump</h1><button>Junk</button><div class="toplang"><p>
<span>Available Junk: </span><a href="en">&nbsp;en&nbsp;</a> | <a href="fr" hreflang="fr">fr</a></p>
</div><table class="module"><tr><th><a href="d#s">Status:</a></th><td>Base</td></tr></table>
<p>{_WORDS}</p></div><div id="quickview"><h3>Junk topics</h3><ul id="toc"><li><a href="#one">Junk
</a></li><li><a href="#two">Junk</a></li></ul><h3>Junk checklist</h3><ul><li>
<a href="https://x.example/c">Junk changelog</a></li></ul></div>
<div class="top"><a href="#page-header"><img alt="top" src="up.gif"></a></div>
<div class="section"><h2><a name="one">Use</a></h2><dl><dt>pump.start</dt><dd>Start it.</dd></dl>
</div>
</div><div class="bottomlang"><p>Available Junk: <a href="fr" hreflang="fr">fr</a></p></div>
<div id="footer"><p>Copyright 2026 Junk.</p></div></body></html>"""


def _chunks(page: str) -> list[Chunk]:
    document = HtmlExtractor().extract(Source("/manual/pump.html", "text/html"), page.encode())
    return StructureSplitter().split(document)


@pytest.mark.parametrize("page", [SPHINX, DOCBOOK, ASCIIDOC, PLAIN, DIRECTIVES])
def test_chunks_of_a_manual_hold_its_text_and_none_of_its_furniture(page: str) -> None:
    chunks = _chunks(page)
    passages = "\n".join(chunk.passage for chunk in chunks)
    assert _WORDS in passages
    assert "junk" not in passages.lower()
    assert "¶" not in passages
    together = [chunk.text for chunk in chunks if "pump.start" in chunk.text]
    assert any("Start it." in text.partition("pump.start")[2] for text in together)


def test_a_page_of_sqlites_style_keeps_its_title_as_a_heading() -> None:
    passages = "\n".join(chunk.passage for chunk in _chunks(PLAIN))
    assert "Moving water" in passages
    assert "1. Pumps" in passages
