/* The listening test and the grid of transforms. Sounds come as scripts that set a variable
   (sounds/*.js), because a page opened from a file may not fetch anything. */
(function () {
  "use strict";

  function element(name, options, ...children) {
    const made = Object.assign(document.createElement(name), options || {});
    made.append(...children);
    return made;
  }

  function matrix(title, emotions, clips, answerOf) {
    const head = element("tr", {}, element("th", { scope: "col", textContent: "truth" }),
      ...emotions.map((emotion) => element("th", { scope: "col", textContent: emotion })));
    let right = 0;
    const rows = emotions.map((truth) => {
      const row = element("tr", {}, element("th", { scope: "row", textContent: truth }));
      emotions.forEach((answer) => {
        const count = clips.filter((clip, index) =>
          clip.emotion === truth && answerOf(clip, index) === answer).length;
        if (truth === answer) right += count;
        row.append(element("td", { textContent: String(count), className: truth === answer ? "right" : "" }));
      });
      return row;
    });
    const table = element("table", { className: "table" },
      element("caption", { textContent: `${title}: ${right} of ${clips.length} right` }),
      element("thead", {}, head), element("tbody", {}, ...rows));
    table.dataset.right = String(right);
    return table;
  }

  function listeningTest(place, test) {
    const given = [];
    place.classList.add("listening");
    const heading = element("p", { className: "listening-state" });
    heading.setAttribute("aria-live", "polite");
    const stage = element("div");
    place.replaceChildren(heading, stage);

    function ask() {
      const index = given.length;
      if (index === test.clips.length) { show(); return; }
      heading.textContent = `Clip ${index + 1} of ${test.clips.length}: which emotion was meant?`;
      const player = element("audio", { controls: true, src: test.clips[index].sound });
      player.setAttribute("aria-label", `clip ${index + 1}`);
      const choices = element("p", {}, ...test.emotions.map((emotion) => {
        const button = element("button", { type: "button", textContent: emotion });
        button.addEventListener("click", () => {
          given.push(emotion);
          ask();
          const next = stage.querySelector("button");
          if (next) next.focus();
        });
        return button;
      }));
      stage.replaceChildren(player, choices);
    }

    function show() {
      const chance = test.clips.length / test.emotions.length;
      heading.textContent = "That was the last clip. Rows are what was meant, columns what was answered.";
      const again = element("button", { type: "button", textContent: "Listen again" });
      again.addEventListener("click", () => { given.length = 0; ask(); });
      const clips = element("ol", {}, ...test.clips.map((clip, index) => {
        const player = element("audio", { controls: true, src: clip.sound });
        player.setAttribute("aria-label", `clip ${index + 1}, ${clip.emotion}`);
        return element("li", {}, `meant: ${clip.emotion}; you: ${given[index]}; the model: ${clip.model} `, player);
      }));
      stage.replaceChildren(
        matrix("You", test.emotions, test.clips, (clip, index) => given[index]),
        matrix("The model", test.emotions, test.clips, (clip) => clip.model),
        element("p", { textContent: `Guessing gets ${chance} of ${test.clips.length} right on average. `
          + `The model: ${test.model}.` }),
        element("p", {}, again), clips);
    }
    ask();
  }

  function transformGrid(place, grid) {
    place.classList.add("listening", "sound-grid", "table-scroll");
    place.tabIndex = 0;
    place.setAttribute("role", "region");
    place.setAttribute("aria-label", "Grid of transforms");
    const player = (label, source) => {
      const made = element("audio", { controls: true, src: source, preload: "none" });
      made.setAttribute("aria-label", label);
      return made;
    };
    const head = element("tr", {}, element("th", { scope: "col", textContent: "transform" }),
      ...grid.strengths.map((strength) => element("th", { scope: "col", textContent: strength })));
    const rows = grid.rows.map((row) => element("tr", {},
      element("th", { scope: "row", textContent: row.transform }),
      ...grid.strengths.map((strength) => element("td", {},
        player(`${row.transform}, ${strength}`, row.sounds[strength])))));
    place.replaceChildren(
      element("p", {}, "Unchanged: ", player("unchanged", grid.unchanged)),
      element("table", { className: "table" },
        element("caption", { textContent: "One synthetic clip, angry: seven changes at three strengths" }),
        element("thead", {}, head), element("tbody", {}, ...rows)));
  }

  document.addEventListener("DOMContentLoaded", () => {
    const places = {
      "listening-synthetic": [listeningTest, window.lowserListening],
      "listening-people": [listeningTest, window.lowserListeningPeople],
      "transform-grid": [transformGrid, window.lowserTransforms],
    };
    Object.entries(places).forEach(([id, [fill, content]]) => {
      const place = document.getElementById(id);
      if (place && content) fill(place, content);
    });
  });
})();
