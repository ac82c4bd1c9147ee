// Keeps the screen up to date. Without it the page works the same and is reloaded by hand.
"use strict";

const main = document.getElementById("main");
const list = document.getElementById("attempt-list");
const KEPT = 100;
const PAUSE = 1000;

// Times in the reader's own time zone, the year only where it is another; the time of the page stays behind it.
const parts = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" };
const clock = new Intl.DateTimeFormat(undefined, parts);
const calendar = new Intl.DateTimeFormat(undefined, { ...parts, year: "numeric" });
function localise(place) {
  for (const time of place.querySelectorAll("time[datetime]:not([title])")) {
    const at = new Date(time.dateTime);
    time.title = time.textContent;
    time.textContent = (at.getFullYear() === new Date().getFullYear() ? clock : calendar).format(at);
  }
}

// Says that something is under way, and sends a form once only.
function busy(event) {
  const button = event.submitter;
  const form = event.target;
  if (form.matches(".choice") && main.dataset.live) {
    event.preventDefault();
    choose(form);
    return;
  }
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  if (isLost && !isReachable && form.closest("main") && form.method === "post") {
    event.preventDefault();
    sendOnceReachable(form, button);
    return;
  }
  isReachable = false;
  // The form of the webhook is not the one that is sent: what was typed there is sent along, so that it is kept.
  if (webhook && form !== webhook && form.method === "post" && form.closest("main") && touched()) {
    for (const [name, value] of new FormData(webhook)) {
      if (form.elements[name]) continue;
      const kept = Object.assign(document.createElement("input"), { type: "hidden", name, value });
      form.append(kept);
    }
  }
  form.dataset.sent = "yes";
  // Enter presses a button that nobody sees.
  const seen = button && button.matches(".unseen") ? form.querySelector(".primary") : button;
  if (seen && seen.dataset.busy) {
    // After the browser has taken the form.
    setTimeout(() => {
      seen.textContent = seen.dataset.busy;
      for (const one of form.querySelectorAll("button")) one.setAttribute("aria-disabled", "true");
    });
  }
}

// While the live stream is lost, a form would leave for the browser's own error page, and take with it what was typed.
let isLost = false;
let isReachable = false;
async function sendOnceReachable(form, button) {
  try {
    const answer = await fetch(location.pathname, { method: "HEAD" });
    // A proxy in front says so of what is behind it.
    isReachable = ![502, 503, 504].includes(answer.status);
  } catch {
    isReachable = false;
  }
  // The button may have been replaced meanwhile by one that does something else.
  if (isReachable && (!button || button.form === form)) form.requestSubmit(button);
  else notify("Nothing was sent: the service cannot be reached now. What you typed is kept; try again in a moment.");
}

// What the browser gives back from its memory may be sent again.
function awake(event) {
  if (event.persisted) location.reload();
}

function replace(id, from) {
  const now = document.getElementById(id);
  const next = from.getElementById(id);
  if (!now || !next || now.innerHTML === next.innerHTML && now.className === next.className) return;
  now.className = next.className;
  // The line that is read out stays the same element, or some readers would not notice.
  const said = now.querySelector("[role=status]");
  const say = next.querySelector("[role=status]");
  if (said && say) {
    if (said.innerHTML !== say.innerHTML) said.innerHTML = say.innerHTML;
    while (said.nextSibling) said.nextSibling.remove();
    while (say.nextSibling) now.append(say.nextSibling);
  } else {
    now.replaceChildren(...next.childNodes);
  }
}

let running = false;
let wanted = false;

// Fetches what is new, one request at a time and one a second at most.
async function refresh() {
  wanted = true;
  if (running) return;
  running = true;
  while (wanted) {
    wanted = false;
    try {
      const first = held[0] || list.firstElementChild;
      const after = first ? first.dataset.seq : "0";
      const chosen = main.dataset.latest;
      const answer = await fetch(`${chosen}&after=${after}`, { redirect: "error" });
      if (answer.status === 401) {
        ended();
        break;
      }
      const text = answer.ok && await answer.text();
      // Another list may have been chosen meanwhile, to which this one's attempts do not belong.
      if (chosen !== main.dataset.latest) wanted = true;
      else if (answer.ok) show(new DOMParser().parseFromString(text, "text/html"));
    } catch {
      // The next event tries again.
    }
    await new Promise((done) => setTimeout(done, PAUSE));
  }
  running = false;
}

// A form that nobody has touched follows what is saved; what somebody typed stays.
const webhook = document.querySelector("#webhook form");
function touched() {
  const changed = (field) => field.type === "checkbox" ? field.checked !== field.defaultChecked
    : field.type !== "hidden" && "defaultValue" in field && field.value !== field.defaultValue;
  return "typed" in webhook.dataset || "sent" in webhook.dataset || [...webhook.elements].some(changed);
}
function follow(latest) {
  const next = latest.querySelector("#webhook form");
  if (!webhook || !next || touched()) return;
  for (const field of webhook.elements) {
    const now = field.name && next.elements[field.name];
    if (!now) continue;
    if (field.type === "checkbox") field.checked = field.defaultChecked = now.defaultChecked;
    else if ("defaultValue" in field) field.value = field.defaultValue = now.defaultValue;
    const fold = field.closest("details");
    if (fold && now.closest("details").open) fold.open = true;
  }
}

function show(latest) {
  localise(latest);
  follow(latest);
  const status = document.getElementById("status");
  const was = status.className;
  replace("status", latest);
  // What a form came to then is not how it stands now.
  const told = document.querySelector("#notice.good");
  if (told && status.className !== was) told.remove();
  replace("enabled-hint", latest);
  replace("test-button", latest);
  replace("test-hint", latest);
  replace("downloads", latest);
  replace("overview", latest);
  replace("history", latest);
  const known = (row) => document.getElementById(row.id) || held.some((one) => one.id === row.id);
  held = [...latest.querySelectorAll("li[data-seq]")].filter((row) => !known(row)).concat(held).slice(0, KEPT);
  // While one is read nothing moves below the reader's eyes: new ones are counted.
  if (list.querySelector("details[open]")) tell();
  else arrive();
  age();
}

// How long messages have waited grows without an event that says so.
let aging;
function age() {
  clearTimeout(aging);
  if (document.getElementById("waiting") && !document.hidden) aging = setTimeout(refresh, 5 * PAUSE);
}

// New attempts that are not shown yet, newest first.
let held = [];
const news = document.getElementById("news");
function tell() {
  news.hidden = held.length === 0;
  news.firstElementChild.textContent = `${held.length} new, show`;
}
function arrive() {
  for (const row of held.reverse()) {
    row.className = "new";
    list.prepend(row);
  }
  held = [];
  tell();
  if (list.firstElementChild) {
    document.getElementById("none").hidden = true;
    document.querySelector(".choice").hidden = false;
  }
  for (const row of [...list.children].slice(KEPT)) {
    if (!row.querySelector("details[open]")) row.remove();
  }
  oneStop();
}

// Lists what was chosen without leaving the page, on which something may be typed.
async function choose(form) {
  const query = new URLSearchParams(new FormData(form));
  const chosen = `${main.dataset.latest.split("?")[0]}?${query}`;
  main.dataset.latest = chosen;
  window.history.replaceState(null, "", `${location.pathname}?${query}`);
  await relist(chosen);
}
let again;
async function relist(chosen) {
  clearTimeout(again);
  let answer;
  let text;
  try {
    answer = await fetch(`${chosen}&after=0`, { redirect: "error" });
    text = await answer.text();
  } catch {
    answer = { ok: false, status: 503 };
  }
  if (answer.status === 401) return ended();
  if (!answer.ok) {
    // The service is away or busy: the list follows when it answers, unless another one is chosen by then.
    const passes = answer.status === 429 || answer.status >= 500;
    if (passes && chosen === main.dataset.latest) again = setTimeout(() => relist(chosen), 2 * PAUSE);
    return;
  }
  const latest = new DOMParser().parseFromString(text, "text/html");
  // Whoever searched again has asked for another list.
  if (chosen !== main.dataset.latest) return;
  localise(latest);
  held = [];
  tell();
  list.replaceChildren(...latest.querySelectorAll("li[data-seq]"));
  document.getElementById("none").hidden = list.children.length > 0;
  oneStop();
  // What came between that answer and now stood in the list before.
  refresh();
}

// The list is one stop of the tab key; the arrows go from attempt to attempt.
function oneStop(to) {
  const stops = [...list.querySelectorAll(":scope > li > details > summary")];
  const stop = to || stops.find((one) => one.tabIndex === 0 && one.dataset.stop) || stops[0];
  for (const one of stops) {
    one.tabIndex = one === stop ? 0 : -1;
    delete one.dataset.stop;
  }
  if (stop) stop.dataset.stop = "here";
}
function arrows(event) {
  const at = event.target.closest && event.target.closest("#attempt-list > li > details > summary");
  if (!at) return;
  const stops = [...list.querySelectorAll(":scope > li > details > summary")];
  const place = stops.indexOf(at);
  const to = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: stops.length - 1 }[event.key];
  if (to === undefined || !stops[to]) return;
  event.preventDefault();
  oneStop(stops[to]);
  stops[to].focus();
}

// The session is over: says so where the reader is, and keeps what was typed.
let isOver = false;
function ended() {
  isOver = true;
  if (events) events.close();
  const live = document.getElementById("live");
  live.classList.remove("on");
  live.textContent = "signed out";
  const link = Object.assign(document.createElement("a"), { href: location.pathname, textContent: "Sign in", target: "_blank" });
  notify("Your session has ended. What you typed is kept. ", link, " in another tab and go on here, or save: you are asked to sign in first.");
}

// Tells something in the place of what was told before.
function notify(...words) {
  const before = document.getElementById("notice");
  const notice = document.createElement("div");
  notice.id = "notice";
  notice.className = "panel notice bad";
  notice.setAttribute("role", "alert");
  const text = document.createElement("p");
  text.append(...words);
  notice.append(text);
  if (before) before.replaceWith(notice);
  else main.prepend(notice);
  return notice;
}

let events;
function listen() {
  if (isOver || document.hidden) return;
  if (events) events.close();
  const live = document.getElementById("live");
  events = new EventSource(main.dataset.live);
  const say = (on) => {
    isLost = !on;
    live.hidden = false;
    live.classList.toggle("on", on);
    live.textContent = on ? "live" : "not connected; trying again";
  };
  events.onopen = () => say(true);
  events.onerror = () => {
    say(false);
    if (events.readyState !== EventSource.CLOSED) return;
    // Where the session has ended, this is what finds out.
    refresh();
    setTimeout(listen, 5 * PAUSE);
  };
  for (const kind of ["attempt", "state", "gap"]) events.addEventListener(kind, refresh);
}

localise(document);
addEventListener("submit", busy);
addEventListener("pageshow", awake);
addEventListener("pagehide", () => {
  if (events) events.close();
});
// A browser has few connections for a host: a tab that nobody sees holds none.
document.addEventListener("visibilitychange", () => {
  if (!main.dataset.live) return;
  if (document.hidden && events) events.close();
  else if (isOver) refreshAfterSignIn();
  else {
    listen();
    refresh();
  }
});
// Who signed in again in another tab goes on here.
async function refreshAfterSignIn() {
  const answer = await fetch(`${main.dataset.latest}&after=0`, { redirect: "error" });
  if (!answer.ok) return;
  isOver = false;
  document.getElementById("notice").remove();
  const fields = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("input[name=csrf]");
  for (const field of document.querySelectorAll("input[name=csrf]")) field.value = fields.value;
  listen();
  refresh();
}

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const from = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(from.textContent);
      button.textContent = "Copied";
    } catch {
      // The browser may forbid it; the keys for copying do the rest.
      getSelection().selectAllChildren(from);
      button.textContent = "Selected";
    }
  });
}

// The line for a terminal is made, and signed, at the moment of the click.
document.addEventListener("click", async (event) => {
  const link = event.target.closest && event.target.closest("a[data-curl]");
  if (!link || !navigator.clipboard) return;
  event.preventDefault();
  try {
    const answer = await fetch(link.href, { redirect: "error" });
    if (answer.status === 401) return ended();
    if (!answer.ok) return location.assign(link.href);
    await navigator.clipboard.writeText(await answer.text());
    link.textContent = "Copied";
  } catch {
    // What cannot be copied is shown.
    location.assign(link.href);
  }
});
if (list) {
  oneStop();
  list.addEventListener("keydown", arrows);
  list.addEventListener("focusin", (event) => {
    if (event.target.matches("summary")) oneStop(event.target);
  });
  list.addEventListener("toggle", () => {
    if (held.length && !list.querySelector("details[open]")) arrive();
  }, true);
  news.firstElementChild.addEventListener("click", arrive);
}

// What was asked for stands on the page now; a reload must not say it again.
if (main.dataset.live) {
  if (/[?&](saved|tested|sent|rotated)/.test(location.search)) window.history.replaceState(null, "", location.pathname + location.hash);
  listen();
  age();
}

// The operators' screen: each part is brought up to date every few seconds, but for what somebody is at.
const OVERVIEW_EVERY = 3000;
const PARTS = ["trouble", "statuses", "minutes", "owed", "listed", "rejected", "mails", "nodes"];
let next;
let looking = false;
async function overview() {
  clearTimeout(next);
  if (looking) return;
  looking = true;
  const goesOn = document.hidden || await look();
  looking = false;
  if (goesOn) next = setTimeout(overview, OVERVIEW_EVERY);
}
// Whether there is a session still.
async function look() {
  try {
    const answer = await fetch(location.pathname + location.search, { headers: { Accept: "text/html" }, redirect: "error" });
    if (answer.status === 401) {
      overviewEnded();
      return false;
    }
    overviewIs(answer.ok);
    if (!answer.ok) return true;
    const latest = new DOMParser().parseFromString(await answer.text(), "text/html");
    localise(latest);
    document.title = latest.title;
    // Who signed in again in another tab goes on here.
    for (const over of document.querySelectorAll("#notice[data-over]")) over.remove();
    const seal = latest.querySelector("input[name=csrf]").value;
    for (const field of document.querySelectorAll("input[name=csrf]")) field.value = seal;
    for (const id of PARTS) {
      const part = document.getElementById(id);
      if (!part.contains(document.activeElement) && !part.querySelector("details[open]")) replace(id, latest);
    }
  } catch {
    overviewIs(false);
  }
  return true;
}
function overviewIs(on, text) {
  const live = document.getElementById("live");
  live.hidden = false;
  live.classList.toggle("on", on);
  live.textContent = text || (on ? "live" : "not connected; trying again");
}
function overviewEnded() {
  overviewIs(false, "signed out");
  const link = Object.assign(document.createElement("a"), { href: location.pathname, textContent: "Sign in" });
  const notice = notify("Your session has ended, and nothing here is brought up to date any more. ", link, " again.");
  notice.dataset.over = "yes";
}
if (main.dataset.overview) {
  // What a form came to stands on the page now; a reload must not say it again.
  if (/[?&](requeued|discarded)=/.test(location.search)) window.history.replaceState(null, "", location.pathname);
  next = setTimeout(overview, OVERVIEW_EVERY);
  // Who comes back to the tab sees what is.
  document.addEventListener("visibilitychange", overview);
}

// A link to an attempt opens it.
function openTarget() {
  const target = location.hash.startsWith("#attempt-") && document.getElementById(location.hash.slice(1));
  if (target) target.querySelector("details").open = true;
}
addEventListener("hashchange", openTarget);
openTarget();
