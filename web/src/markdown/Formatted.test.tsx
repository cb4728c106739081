// @vitest-environment jsdom
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, describe, expect, test } from "vitest";
import Formatted from "./Formatted";

afterEach(cleanup);

function htmlOf(text: string, breaks = false): string {
  return render(<Formatted text={text} breaks={breaks} />).container.innerHTML;
}

describe("what Markdown becomes", () => {
  test.each([
    ["a heading below the page's own", "# Setup", "<h2>Setup</h2>"],
    ["headings without gaps", "### a\n# b\n### c\n#### d", "<h2>a</h2><h2>b</h2><h3>c</h3><h4>d</h4>"],
    ["emphasis", "**bold**, *leaning*, ~~gone~~", "<p><strong>bold</strong>, <em>leaning</em>, <del>gone</del></p>"],
    ["a list in a list", "- a\n  - b", "<ul><li>a<ul><li>b</li></ul></li></ul>"],
    ["a numbered list from where it begins", "3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'],
    ["what is to do", "- [x] done\n- [ ] open", '<ul><li class="task">☑ done</li><li class="task">☐ open</li></ul>'],
    ["code in a line", "`a<b`", "<p><code>a&lt;b</code></p>"],
    ["code in a block", "```python\nx < 1\n```", "<pre><code>x &lt; 1</code></pre>"],
    ["what was escaped", "\\*plain\\*", "<p>*plain*</p>"],
    ["a quotation", "> said", "<blockquote><p>said</p></blockquote>"],
  ])("%s", (_name, text, html) => {
    expect(htmlOf(text)).toBe(html);
  });

  test("a table has its columns aligned", () => {
    render(<Formatted text={"| a | b |\n| - | -: |\n| 1 | 2 |"} />);
    expect(screen.getByRole("cell", { name: "2" }).style.textAlign).toBe("right");
  });

  test("lines are kept where that is asked for", () => {
    expect(htmlOf("one\ntwo", true)).toBe("<p>one<br>two</p>");
    expect(htmlOf("one\ntwo")).toBe("<p>one\ntwo</p>");
  });
});

test("a docstring's backslashes and underscores stand for themselves", () => {
  const { container } = render(
    <Formatted text={"\\( isn't a bracket, __colours__ is a file, **this** is `a_b`"} isCode />,
  );
  expect(container.textContent).toBe("\\( isn't a bracket, __colours__ is a file, this is a_b");
  expect(screen.getByText("this").tagName).toBe("STRONG");
});

describe("a stranger's text", () => {
  test.each(["<script>alert(1)</script>", '<img src=x onerror="alert(1)">', "a <b onclick='x()'>b</b>"])(
    "%s is text and nothing else",
    (text) => {
      const { container } = render(<Formatted text={text} />);
      expect(container.querySelector("script, img, b")).toBeNull();
      expect(container.textContent).toContain(text);
    },
  );

  test("links lead to other sites, in a tab that knows nothing of this one", () => {
    render(<Formatted text="[paper](https://arxiv.org/abs/2206.00364)" />);
    const link = screen.getByRole("link", { name: "paper" });
    expect(link.getAttribute("href")).toBe("https://arxiv.org/abs/2206.00364");
    expect(link.getAttribute("target")).toBe("_blank");
    expect(link.getAttribute("rel")).toBe("noopener noreferrer");
  });

  test.each(["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "/api/v1/jobs", "file:///etc/passwd"])(
    "%s is no link",
    (address) => {
      const { container } = render(<Formatted text={`[here](${address}) ![there](${address})`} />);
      expect(container.querySelector("a, img")).toBeNull();
      expect(container.textContent).toBe("here there");
    },
  );

  test("pictures of other sites aren't loaded, but can be gone to", () => {
    const { container } = render(<Formatted text="![a cat](https://example.com/cat.png)" />);
    expect(container.querySelector("img")).toBeNull();
    expect(screen.getByRole("link", { name: "a cat" })).toBeTruthy();
  });

  test("what is nested without end, or endless, is shown nevertheless", () => {
    for (const text of [">".repeat(3000), "- ".repeat(3000), "*a **b ".repeat(2000), "x".repeat(60_000)]) {
      const { container } = render(<Formatted text={`${text} end`} />);
      expect(container.textContent).toContain("end");
    }
  });
});
