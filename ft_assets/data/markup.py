"""HTML out of texts: what is left is what a reader saw.

Only elements that HTML knows are taken out (HTML Living Standard, section 4, and those that it calls obsolete), so
`a < b`, `<EMAIL>` and `<user>` stay. A parser of whole documents would mend what is no HTML, and swallow such. Not
here: choosing the main text of a web page, which belongs in front of the sources.
"""

from __future__ import annotations

import html

import polars as pl

__all__ = ["without_html"]

_BLOCKS = (
    "address|article|aside|blockquote|body|br|center|dd|details|dialog|div|dl|dt|fieldset|figcaption|figure|footer|form|"
    "frameset|h[1-6]|head|header|hr|html|legend|li|main|menu|nav|noscript|ol|optgroup|option|p|pre|section|select|summary|"
    "table|tbody|td|template|textarea|tfoot|th|thead|title|tr|ul|video|audio|canvas|iframe|object|svg"
)
_INLINE = (
    "a|abbr|acronym|area|b|base|bdi|bdo|big|button|caption|cite|code|col|colgroup|data|datalist|del|dfn|em|embed|font|i|"
    "img|input|ins|kbd|label|link|map|mark|meta|meter|output|param|picture|progress|q|rp|rt|ruby|s|samp|small|source|span|"
    "strike|strong|sub|sup|time|track|tt|u|var|wbr"
)
# Quoted values may hold `>`. The engine's time is linear, whatever stands here. After the name a space, a slash or the
# end: `<b@example.org>` is an address.
_REST = r"""(?:[\s/](?:"[^"]*"|'[^']*'|[^<>"'])*)?>"""
_TAG = rf"(?i)</?(?:{_BLOCKS}|{_INLINE}){_REST}|<!--|<!doctype\s"
_UNSEEN = rf"(?is)<!--.*?-->|<!doctype[^>]*>|<script{_REST}.*?</script\s*>|<style{_REST}.*?</style\s*>"
_BLOCK = rf"(?i)</?(?:{_BLOCKS}){_REST}"
_ANY = rf"(?i)</?(?:{_INLINE}|script|style){_REST}"


def without_html(texts: pl.Series) -> pl.Series:
    """The texts without tags, comments, scripts and styles, their character references resolved.

    Blocks become line ends. A text without a tag stays as it is, `&amp;` and all.
    """
    tagged = texts.str.contains(_TAG).fill_null(False)
    if not tagged.any():
        return texts
    plain = (
        texts.filter(tagged)
        .str.replace_all(_UNSEEN, " ")
        .str.replace_all(_BLOCK, "\n")
        .str.replace_all(_ANY, "")
    )
    if plain.str.contains("&", literal=True).any():
        plain = pl.Series([html.unescape(text) for text in plain], dtype=pl.String)
    return texts.clone().scatter(tagged.arg_true(), plain)
