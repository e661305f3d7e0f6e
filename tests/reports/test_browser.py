"""The page in a real browser, without a network."""

import html
import json
import re
import shutil
import subprocess

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
# Anything but what is in the page itself is refused, and that is an error on the page.
POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "img-src data:; style-src 'unsafe-inline'\">"
)
# A window has a least width; a frame has the width it is given. The frames are of one
# origin with the page around them, which can so look into them.
AROUND = """<!DOCTYPE html><body><script>
const page = %s, seen = [];
function look(frame) {
  const inner = frame.contentDocument, root = inner.documentElement;
  const parts = [...inner.querySelectorAll("main *")];
  seen.push({
    width: root.clientWidth,
    scrolled: root.scrollWidth,
    beyond: parts.filter(part => !part.closest(".scroll")
      && part.getBoundingClientRect().right > root.clientWidth + 1).length,
    images: [...inner.images].map(image => image.naturalWidth),
    narrowest: Math.min(...[...inner.images].map(image => image.clientWidth)),
    loaded: frame.contentWindow.performance.getEntriesByType("resource")
      .map(entry => entry.name).filter(name => !name.startsWith("data:")),
  });
  if (seen.length == 2) {
    document.body.innerHTML = "<pre id=seen></pre>";
    document.getElementById("seen").textContent = JSON.stringify(seen);
  }
}
for (const width of [400, 1200]) {
  const frame = document.createElement("iframe");
  frame.style = `width: ${width}px; height: 900px; border: 0`;
  frame.onload = () => look(frame);
  frame.srcdoc = page;
  document.body.append(frame);
}
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome on the PATH")
def test_a_browser_shows_every_picture_and_nothing_overflows(folder, tmp_path):
    page = (folder / "index.html").read_text(encoding="utf-8")
    page = page.replace("<head>", f"<head>{POLICY}")
    script = json.dumps(page).replace("</", "<\\/").replace("<!--", "<\\!--")
    (tmp_path / "around.html").write_text(AROUND % script, encoding="utf-8")
    shown = subprocess.run(
        [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-dev-shm-usage"),
            *("--hide-scrollbars", f"--user-data-dir={tmp_path / 'profile'}"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1300,1000"),
            *("--virtual-time-budget=20000", "--dump-dom"),
            (tmp_path / "around.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    ).stdout
    found = re.search(r'<pre id="seen">(.*?)</pre>', shown, re.DOTALL)
    assert found, shown[-2000:]
    narrow, wide = json.loads(html.unescape(found[1]))
    assert (narrow["width"], wide["width"]) == (400, 1200)
    for seen in (narrow, wide):
        assert len(seen["images"]) == 9 and min(seen["images"]) > 300
        assert seen["scrolled"] <= seen["width"] and seen["beyond"] == 0
        assert seen["narrowest"] > 300, "no picture is shrunk to nothing"
        assert seen["loaded"] == []
