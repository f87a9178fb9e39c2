// The page's script: follows the UI's theme, keeps the page current, and opens pages of Airflow around the frame.
"use strict";

(() => {
  // The UI keeps its theme there: "light", "dark" or "system" (the same as nothing).
  const THEME = "theme";
  const EVERY_MS = 5000;
  const LONGEST_MS = 60000;

  function follow(theme) {
    const root = document.documentElement;
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  }

  function readTheme() {
    try {
      return localStorage.getItem(THEME);
    } catch {
      return null; // storage is blocked: the system's theme is used
    }
  }

  follow(readTheme());
  addEventListener("storage", (event) => {
    if (event.key === THEME || event.key === null) follow(readTheme());
  });

  // Makes `old` look like `fresh` and keeps what is the same, so that focus, selection and scroll position stay.
  // Children with an id keep their place in the page under that id.
  function patch(old, fresh) {
    for (const { name } of [...old.attributes]) {
      // Whether details are open is for the person to decide.
      if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const ids = new Set([...fresh.children].map((child) => child.id));
    for (const child of [...old.children]) if (child.id && !ids.has(child.id)) child.remove();
    let next = old.firstChild;
    for (const wanted of [...fresh.childNodes]) {
      const known = wanted.id ? [...old.children].find((child) => child.id === wanted.id) : next;
      if (known && isAlike(known, wanted)) {
        if (known === next) next = next.nextSibling;
        else move(known, next);
        if (known.nodeType === Node.ELEMENT_NODE) patch(known, wanted);
        else if (known.data !== wanted.data) known.data = wanted.data;
      } else {
        old.insertBefore(wanted, next);
      }
    }
    while (next) {
      const rest = next.nextSibling;
      next.remove();
      next = rest;
    }
  }

  // An element that is moved loses the focus.
  function move(element, next) {
    const focused = element.contains(document.activeElement) ? document.activeElement : null;
    element.parentNode.insertBefore(element, next);
    if (focused) focused.focus({ preventScroll: true });
  }

  function isAlike(one, other) {
    return one.nodeName === other.nodeName && (one.id || "") === (other.id || "");
  }

  // Asks for the live part of the page again and again: less often while that fails, not at all while nobody looks.
  class Updates {
    constructor(live, status, button) {
      Object.assign(this, { live, status, button, waitMs: EVERY_MS, timer: 0, isOn: true, isAsking: false, words: "" });
      button.hidden = false;
      button.addEventListener("click", () => this.toggle());
      document.addEventListener("visibilitychange", () => (document.hidden ? this.rest() : this.ask()));
      if (live.hasAttribute("data-loading")) this.ask();
      else this.wait();
    }

    toggle() {
      this.isOn = !this.isOn;
      this.button.textContent = this.isOn ? "Pause updates" : "Resume updates";
      this.say(this.isOn ? "" : "Updates are paused.");
      if (this.isOn) this.ask();
      else this.rest();
    }

    rest() {
      clearTimeout(this.timer);
      this.timer = 0;
    }

    wait() {
      this.rest();
      if (this.isOn && !document.hidden) this.timer = setTimeout(() => this.ask(), this.waitMs);
    }

    async ask() {
      this.rest();
      if (!this.isOn || this.isAsking) return;
      this.isAsking = true;
      try {
        await this.fetch();
      } finally {
        this.isAsking = false;
      }
      this.wait();
    }

    async fetch() {
      const address = new URL(location.href);
      address.searchParams.set("part", "live");
      let answer;
      try {
        answer = await fetch(address, { credentials: "same-origin", cache: "no-store", redirect: "error" });
      } catch {
        return this.fail("The API server does not answer. What you see is old.");
      }
      if (answer.status === 401 || answer.status === 403) {
        this.isOn = false;
        this.button.hidden = true;
        return this.fail("You are logged out or may not see this page any more. Reload the page to log in again.");
      }
      const isPart = answer.headers.get("X-Hybrid-Part") === "live";
      if (!isPart) return this.fail(`The API server answered with an error (${answer.status}). What you see is old.`);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
      patch(this.live, fresh);
      if (answer.status === 200) this.succeed();
      else this.fail(fresh.dataset.trouble || "The state cannot be read now.");
    }

    succeed() {
      this.waitMs = EVERY_MS;
      this.say(this.words ? "Updates work again." : "");
      this.words = "";
    }

    fail(words) {
      this.waitMs = Math.min(this.waitMs * 2, LONGEST_MS);
      this.words = words;
      this.say(words);
    }

    // A live region: only a change is read out, so that an update without news is silent.
    say(words) {
      if (this.status.textContent !== words) this.status.textContent = words;
    }
  }

  // A page of Airflow belongs around this frame. The sandbox forbids the frame to navigate its parent, so the UI's own
  // router is told, as if the person had used the browser's history.
  function openAround(event) {
    const link = event.target.closest("a[data-around]");
    if (!link || window.parent === window || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    parent.history.pushState(null, "", link.href);
    parent.dispatchEvent(new PopStateEvent("popstate", { state: null }));
  }

  // What became of the last action is told once, and not again after a reload.
  function forgetNotice() {
    const address = new URL(location.href);
    if (!address.searchParams.has("notice")) return;
    address.searchParams.delete("notice");
    history.replaceState(history.state, "", address);
  }

  addEventListener("DOMContentLoaded", () => {
    forgetNotice();
    // So a screen reader reads out what became of the action.
    document.getElementById("notice")?.focus();
    document.addEventListener("click", openAround);
    const live = document.getElementById("live");
    if (live) new Updates(live, document.getElementById("status"), document.getElementById("pause"));
  });
})();
