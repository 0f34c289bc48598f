/* What the book's pages do in the browser, without a network and also from a file:
   one player at a time, quiz scores, search hits, tables of sentences, letters of the glossary. */
(function () {
  "use strict";

  // sphinx_highlight.js removes what search left behind, so it is read before that runs.
  const asked = new URLSearchParams(window.location.search);
  const store = {
    get(key) { try { return window.localStorage.getItem(key); } catch (error) { return null; } },
    set(key, value) { try { window.localStorage.setItem(key, value); } catch (error) { /* private */ } },
    remove(key) { try { window.localStorage.removeItem(key); } catch (error) { /* private */ } },
  };
  const sought = (asked.get("highlight") || store.get("sphinx_highlight_terms") || "")
    .toLowerCase().split(/\s+/).filter(Boolean);

  function element(name, options, ...children) {
    const made = Object.assign(document.createElement(name), options || {});
    made.append(...children);
    return made;
  }

  // ---- one player stops the other
  document.addEventListener("play", (event) => {
    document.querySelectorAll("audio").forEach((player) => {
      if (player !== event.target) player.pause();
    });
  }, true);

  // ---- search: links carry the words, pages mark them and go to the first
  function carryWords() {
    const results = document.getElementById("search-results");
    const words = asked.get("q");
    if (!results || !words) return;
    const carry = () => results.querySelectorAll("a[href]:not([data-words])").forEach((link) => {
      const [page, anchor] = link.getAttribute("href").split("#");
      if (page.includes("?")) return;
      link.dataset.words = "1";
      link.setAttribute("href",
        page + "?highlight=" + encodeURIComponent(words) + (anchor ? "#" + anchor : ""));
    });
    new MutationObserver(carry).observe(results, { childList: true, subtree: true });
    carry();
  }

  function markHits() {
    const article = document.querySelector("article.bd-article");
    if (!article || !sought.length || document.getElementById("search-results")) return;
    const pattern = new RegExp(
      "(" + sought.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|") + ")", "gi");
    const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT, {
      acceptNode: (node) => node.parentElement.closest("script, style, mjx-container, svg, mark")
        || node.textContent.search(pattern) < 0 ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT,
    });
    const texts = [];
    while (walker.nextNode()) texts.push(walker.currentNode);
    texts.forEach((node) => {
      const parts = node.textContent.split(pattern).map((part, index) =>
        index % 2 ? element("mark", { className: "hit", textContent: part }) : part);
      node.replaceWith(...parts);
    });
    const hits = [...article.querySelectorAll("mark.hit")];
    const start = window.location.hash
      && document.getElementById(decodeURIComponent(window.location.hash.slice(1)));
    const first = hits.find((hit) => !start || start.contains(hit)
      || start.compareDocumentPosition(hit) & Node.DOCUMENT_POSITION_FOLLOWING) || hits[0];
    if (!first) return;
    first.classList.add("hit-first");
    for (let fold = first.closest("details"); fold; fold = fold.parentElement.closest("details")) {
      fold.open = true;
    }
    const go = () => first.scrollIntoView({ block: "center" });
    go();
    window.addEventListener("load", () => setTimeout(go, 50));  // figures have moved the text
  }

  // ---- quizzes: what was clicked first counts; kept in this browser only
  const chapterOf = (path) => (path.match(/(\d\d)_\w+\.html/) || [])[1];
  const kept = (number) => JSON.parse(store.get("lowser-quiz-" + number) || "{}");

  function quizzes() {
    const number = chapterOf(window.location.pathname);
    const questions = [...document.querySelectorAll(".cell_output .text_html")].filter((output) =>
      [...output.querySelectorAll("details > div")].some((answer) => /^\s*Right:/.test(answer.textContent)));
    if (!number || !questions.length) return;
    const lines = [];
    const show = () => {
      const answers = kept(number);
      const right = Object.values(answers).filter((answer) => answer === "right").length;
      const count = Object.keys(answers).length;
      lines.forEach((line) => {
        line.replaceChildren(`Quiz of this chapter: ${count} of ${questions.length} answered, `
          + `${right} right at the first try. `);
        if (count) {
          const again = element("button", { type: "button", textContent: "Start again" });
          again.addEventListener("click", () => {
            store.remove("lowser-quiz-" + number);
            questions.forEach((question) =>
              question.querySelectorAll("details").forEach((fold) => { fold.open = false; }));
            show();
          });
          line.append(again);
        }
      });
    };
    questions.forEach((question, index) => {
      const line = element("p", { className: "quiz-score" });
      line.setAttribute("aria-live", "polite");
      lines.push(line);
      question.append(line);
      question.querySelectorAll("details").forEach((fold) => fold.addEventListener("toggle", () => {
        const answers = kept(number);
        if (!fold.open || answers[index]) return;
        answers[index] = /^\s*Right:/.test(fold.querySelector("div").textContent) ? "right" : "wrong";
        store.set("lowser-quiz-" + number, JSON.stringify({ ...answers }));
        show();
      }));
    });
    store.set("lowser-quiz-size-" + number, String(questions.length));
    show();
  }

  function scoreboard() {
    const place = document.getElementById("quiz-scores");
    if (!place) return;
    const rows = [];
    for (let chapter = 0; chapter < 100; chapter += 1) {
      const number = String(chapter).padStart(2, "0");
      const size = store.get("lowser-quiz-size-" + number);
      const answers = Object.values(kept(number));
      if (size && answers.length) {
        const right = answers.filter((answer) => answer === "right").length;
        rows.push(`chapter ${number}: ${right} of ${size} right at the first try`);
      }
    }
    place.replaceChildren(rows.length ? element("ul", {}, ...rows.map((row) =>
      element("li", { textContent: row }))) : element("p", { textContent: "No question answered yet." }));
  }

  // ---- tables: long cells become entries; on a phone, rows become blocks
  function tables() {
    document.querySelectorAll("article.bd-article table").forEach((table) => {
      if (table.closest(".listening")) return;
      const heads = [...table.querySelectorAll("thead tr:last-child th")].map((head) => head.textContent.trim());
      const rows = [...table.querySelectorAll("tbody tr")];
      if (!heads.length || !rows.length) return;
      rows.forEach((row) => [...row.children].forEach((cell, index) => {
        cell.dataset.field = row.children.length === heads.length ? heads[index] : "";
      }));
      const longest = rows.map((row) => row.textContent.replace(/\s+/g, " ").length);
      const mean = longest.reduce((sum, size) => sum + size, 0) / rows.length;
      if (heads.length >= 3 && mean > 28 * heads.length && !table.classList.contains("dataframe")) {
        writtenOut(table, heads, rows);
      } else if (!table.closest(".table-scroll")) {
        const frame = element("div", { className: "table-scroll", tabIndex: 0 });
        frame.setAttribute("role", "region");
        frame.setAttribute("aria-label", "Table: " + heads.filter(Boolean).join(", "));
        table.replaceWith(frame);
        frame.append(table);
      }
      if (mean > 60 && !table.classList.contains("dataframe")) table.classList.add("stackable");
    });
  }

  function writtenOut(table, heads, rows) {
    const list = element("div", { className: "records" });
    const caption = table.querySelector("caption");
    if (caption) list.append(element("p", { className: "records-title", textContent: caption.textContent }));
    let last = null, entry = null;
    rows.forEach((row) => {
      const [name, ...cells] = row.children;
      const told = name.textContent;
      const again = entry && told === last;
      if (!again) {
        entry = element("div", { className: "record" });
        const inside = name.querySelector(":scope > p:only-child") || name;
        entry.append(element("p", { className: "record-name" }, ...inside.childNodes));
        list.append(entry);
        last = told;
      }
      const line = element("p", { className: again ? "record-again" : "" });
      cells.forEach((cell, index) => {
        if (!cell.textContent.trim()) return;
        if (line.childNodes.length) line.append(" · ");
        line.append(element("span", { className: "record-field", textContent: heads[index + 1] + ": " }));
        const paragraphs = [...cell.children].filter((child) => child.tagName === "P");
        line.append(...(paragraphs.length === 1 ? paragraphs[0] : cell).childNodes);
      });
      entry.append(line);
    });
    (table.closest(".table-scroll") || table).replaceWith(list);
  }

  function figures() {
    document.querySelectorAll("div.cell_output img").forEach((image) => {
      const width = parseInt(image.style.width || image.getAttribute("width") || "0", 10);
      const frame = image.parentElement;
      if (width <= 360 || !frame) return;
      frame.classList.add("figure-scroll");
      if (frame.tagName !== "A") frame.tabIndex = 0;  // a link takes the keyboard already
    });
  }

  // A formula wider than a phone scrolls by itself, also by keyboard.
  function formulas() {
    const ready = window.MathJax && window.MathJax.startup && window.MathJax.startup.promise;
    if (ready) ready.then(() => document.querySelectorAll("mjx-container[display]").forEach((formula) => {
      formula.tabIndex = 0;
    }));
  }

  // ---- glossary: from A to Z
  function letters() {
    const glossary = document.querySelector("dl.glossary");
    if (!glossary) return;
    const line = element("nav", { className: "letters" });
    line.setAttribute("aria-label", "Letters of the glossary");
    let last = "";
    glossary.querySelectorAll(":scope > dt").forEach((term) => {
      const letter = term.textContent.trim()[0].toUpperCase();
      if (letter === last || !term.id) return;
      last = letter;
      line.append(element("a", { href: "#" + term.id, textContent: letter }));
    });
    glossary.before(line);
  }

  // Its entries are no list items, so that it is none to a screen reader.
  function bibliography() {
    document.querySelectorAll(".citation-list").forEach((list) => list.removeAttribute("role"));
  }

  // On paper everything is unfolded.
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("article.bd-article details").forEach((fold) => { fold.open = true; });
  });

  document.addEventListener("DOMContentLoaded", () => {
    [tables, figures, formulas, bibliography, letters, quizzes, scoreboard, carryWords, markHits].forEach((part) => part());
  });
})();
