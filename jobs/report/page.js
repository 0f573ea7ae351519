"use strict";
(function () {
  var d = document, root = d.documentElement, all = function (s, e) { return Array.prototype.slice.call((e || d).querySelectorAll(s)); };

  // Charts out of view are drawn when there is nothing else to do, or as they come into view;
  // the room that they take is known before.
  var waiting = all(".chart");
  waiting.forEach(function (c) {
    var box = c.firstElementChild.viewBox.baseVal;
    c.style.aspectRatio = box.width + " / " + box.height;
    c.classList.add("later");
  });
  var idle = window.requestIdleCallback || function (f) { setTimeout(f, 50); };
  function some() {
    waiting.splice(0, 6).forEach(function (c) { c.classList.remove("later"); });
    if (waiting.length) idle(some);
  }
  window.addEventListener("load", function () { idle(some); });

  // Theme: automatic, light or dark; kept where the browser allows it.
  var themes = ["automatic", "light", "dark"], button = d.getElementById("theme");
  function keep(t) { try { localStorage.setItem("shoal-theme", t); } catch (e) { /* not allowed: only for now */ } }
  function kept() { try { return localStorage.getItem("shoal-theme"); } catch (e) { return null; } }
  function theme(t) {
    if (themes.indexOf(t) < 0) t = "automatic";
    if (t === "automatic") root.removeAttribute("data-theme"); else root.setAttribute("data-theme", t);
    button.textContent = "Theme: " + t;
    button.dataset.t = t;
  }
  theme(kept());
  button.addEventListener("click", function () {
    var t = themes[(themes.indexOf(button.dataset.t) + 1) % 3];
    theme(t); keep(t);
  });

  // Tips: the marks' titles, shown at once and by the keyboard too. A chart's are taken when
  // it is first pointed at or has the focus: a page has thousands.
  var tip = d.getElementById("tip"), marked = null, shownAt = 0;
  function take(svg) {
    if (svg.dataset.taken) return;
    svg.dataset.taken = "1";
    all("title", svg).forEach(function (t) {
      if (t.parentNode === svg) return;
      t.parentNode.dataset.tip = t.textContent;
      t.parentNode.removeChild(t);
    });
  }
  function mark(e) {
    var svg = e.target.closest && e.target.closest(".chart svg");
    if (!svg) return null;
    take(svg);
    return e.target.closest("[data-tip]");
  }
  function hide() { tip.hidden = true; if (marked) { marked.classList.remove("on"); marked = null; } }
  function show(mark, x, y) {
    if (marked && marked !== mark) marked.classList.remove("on");
    marked = mark; mark.classList.add("on"); shownAt = window.scrollY;
    if (tip.textContent !== mark.dataset.tip) tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    var w = tip.offsetWidth, h = tip.offsetHeight, right = root.clientWidth - w - 8;
    tip.style.left = Math.max(8, Math.min(x + 14, right)) + "px";
    tip.style.top = (y + h + 24 > window.innerHeight ? Math.max(8, y - h - 10) : y + 16) + "px";
  }
  d.addEventListener("pointermove", function (e) {
    var m = mark(e);
    if (m) show(m, e.clientX, e.clientY); else if (e.pointerType !== "touch") hide();
  });
  d.addEventListener("pointerdown", function (e) {
    var m = mark(e);
    if (m) show(m, e.clientX, e.clientY); else hide();
  });
  // Scrolling before a tip was shown may be told of after it.
  d.addEventListener("scroll", function () { if (Math.abs(window.scrollY - shownAt) > 2) hide(); }, { passive: true });
  all(".chart svg").forEach(function (svg) {
    var at = -1;
    svg.addEventListener("focus", function () { take(svg); });
    svg.addEventListener("keydown", function (e) {
      var marks = all("[data-tip]", svg), step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
      if (e.key === "Escape") { hide(); return; }
      if (!step || !marks.length) return;
      e.preventDefault();
      at = (at + step + marks.length) % marks.length;
      var r = marks[at].getBoundingClientRect();
      show(marks[at], r.left + r.width / 2, r.top + r.height / 2);
    });
    svg.addEventListener("blur", hide);
  });

  // Tables: sorted by a click on a heading, narrowed by a filter. Headings become buttons when
  // the table is opened.
  function numeric(table, i) { return table.tHead.rows[0].cells[i].classList.contains("n"); }
  function value(td, n) {
    var s = td.dataset.v !== undefined ? td.dataset.v : td.textContent;
    if (!n) return s === "–" ? null : s.toLowerCase();
    var f = parseFloat(s.replace(/,/g, "").replace("−", "-"));
    return isNaN(f) ? null : f;
  }
  function sortable(table) {
    if (table.dataset.taken) return;
    table.dataset.taken = "1";
    all("th", table).forEach(function (th, i) {
      var b = d.createElement("button");
      b.type = "button";
      b.textContent = th.textContent;
      th.textContent = "";
      th.appendChild(b);
      b.addEventListener("click", function () {
        var up = th.getAttribute("aria-sort") !== "ascending", n = numeric(table, i);
        var rows = all("tbody tr", table).map(function (tr) { return { tr: tr, v: value(tr.cells[i], n) }; });
        all("th", table).forEach(function (o) { o.removeAttribute("aria-sort"); });
        th.setAttribute("aria-sort", up ? "ascending" : "descending");
        rows.sort(function (a, b) {
          if (a.v === null || b.v === null) return (a.v === null) - (b.v === null);
          return (a.v < b.v ? -1 : a.v > b.v ? 1 : 0) * (up ? 1 : -1);
        });
        var body = table.tBodies[0];
        rows.forEach(function (r) { body.appendChild(r.tr); });
      });
    });
  }
  function opened(details) { if (details.open) all("table", details).forEach(sortable); }
  all("details.numbers").forEach(function (e) {
    opened(e);
    e.addEventListener("toggle", function () { opened(e); });
  });
  all("input.filter").forEach(function (input) {
    input.addEventListener("input", function () {
      var words = input.value.toLowerCase().split(/\s+/);
      all("tbody tr", input.closest("details")).forEach(function (tr) {
        var s = tr.textContent.toLowerCase();
        tr.hidden = !words.every(function (w) { return s.indexOf(w) >= 0; });
      });
    });
  });

  // Copies of SQL and texts.
  function copy(pre, done) {
    var s = pre.textContent;
    function old() {
      var sel = getSelection(), r = d.createRange();
      r.selectNodeContents(pre); sel.removeAllRanges(); sel.addRange(r);
      done(d.execCommand("copy")); sel.removeAllRanges();
    }
    if (navigator.clipboard) navigator.clipboard.writeText(s).then(function () { done(true); }, old); else old();
  }
  all("button.copy").forEach(function (b) {
    b.addEventListener("click", function () {
      copy(b.closest("details").querySelector("pre"), function (ok) {
        b.textContent = ok ? "Copied" : "Select and copy";
        setTimeout(function () { b.textContent = "Copy"; }, 1500);
      });
    });
  });

  // How far down the list contacts pay.
  all("form.pays").forEach(function (form) {
    var rows = all("tbody tr", form.closest(".fig")).map(function (tr) { return [value(tr.cells[1], true), value(tr.cells[2], true)]; });
    function say() {
      var cost = parseFloat(form.cost.value), worth = parseFloat(form.worth.value), won = parseFloat(form.won.value) / 100, best = [0, 0, 0];
      if (!(cost >= 0) || !(worth >= 0) || !(won >= 0)) { form.querySelector("output").textContent = ""; return; }
      rows.forEach(function (r) {
        var profit = r[1] * won * worth - r[0] * cost;
        if (profit > best[2]) best = [r[0], r[1], profit];
      });
      var n = function (v) { return Math.round(v).toLocaleString("en"); };
      form.querySelector("output").textContent = best[2] > 0
        ? "Contact " + n(best[0]) + ": expected to reach " + n(best[1]) + ", profit " + n(best[2]) + "; everybody would bring " + n(rows[rows.length - 1][1] * won * worth - rows[rows.length - 1][0] * cost) + "."
        : "It does not pay to contact anybody.";
    }
    form.addEventListener("input", say);
    form.addEventListener("submit", function (e) { e.preventDefault(); });
  });

  // What is printed is shown open.
  window.addEventListener("beforeprint", hide);
}());
