"""Whether texts stand out from their ground, as WCAG 2 asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.e2e.browser import Browser

_ENOUGH = 4.5

# The canvas turns any colour, such as an oklch() one, into red, green and blue.
_SCRIPT = """
const pixel = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
function rgba(color) {
  pixel.clearRect(0, 0, 1, 1);
  pixel.fillStyle = color;
  pixel.fillRect(0, 0, 1, 1);
  return [...pixel.getImageData(0, 0, 1, 1).data];
}
function ground(element) {
  for (let e = element; e; e = e.parentElement) {
    const color = rgba(getComputedStyle(e).backgroundColor);
    if (color[3] === 255) return color;
  }
  return [255, 255, 255, 255];
}
const found = new Map();
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || !element.checkVisibility() || element.closest('.unseen, noscript')) continue;
  const pair = [rgba(getComputedStyle(element).color), ground(element)];
  found.set(JSON.stringify(pair), texts.currentNode.data.trim().slice(0, 40));
}
return [...found].map(([pair, words]) => [...JSON.parse(pair), words]);
"""


def faint_texts(browser: Browser) -> list[str]:
    """Return the texts of the present document whose contrast is below 4.5:1."""
    found: list[Any] = browser.run(_SCRIPT)
    assert found
    ratios = [(contrast(ink, ground), words) for ink, ground, words in found]
    return [f"{words!r}: {ratio:.1f}" for ratio, words in ratios if ratio < _ENOUGH]


def contrast(one: list[int], other: list[int]) -> float:
    """Return the contrast of two colours."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(color: list[int]) -> float:
    parts = [value / 255 for value in color[:3]]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
