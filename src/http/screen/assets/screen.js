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
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  if (button && button.dataset.busy) {
    // After the browser has taken the form.
    setTimeout(() => {
      button.textContent = button.dataset.busy;
      for (const one of form.querySelectorAll("button")) one.setAttribute("aria-disabled", "true");
    });
  }
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
      const first = list.firstElementChild;
      const after = first ? first.dataset.seq : "0";
      const answer = await fetch(`${main.dataset.latest}?after=${after}`, { redirect: "error" });
      if (answer.status === 401) location.reload();
      if (answer.ok) show(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      // The next event tries again.
    }
    await new Promise((done) => setTimeout(done, PAUSE));
  }
  running = false;
}

function show(latest) {
  localise(latest);
  replace("status", latest);
  replace("enabled-hint", latest);
  replace("overview", latest);
  for (const row of [...latest.querySelectorAll("li[data-seq]")].reverse()) {
    if (document.getElementById(row.id)) continue;
    row.className = "new";
    list.prepend(row);
  }
  while (list.children.length > KEPT) list.lastElementChild.remove();
}

let events;
function listen() {
  const live = document.getElementById("live");
  events = new EventSource(main.dataset.live);
  const tell = (on) => {
    live.hidden = false;
    live.classList.toggle("on", on);
    live.textContent = on ? "live" : "not connected; trying again";
  };
  events.onopen = () => tell(true);
  events.onerror = () => {
    tell(false);
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

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}

// What was asked for stands on the page now; a reload must not say it again.
if (main.dataset.live) {
  if (/[?&](saved|tested|rotated)/.test(location.search)) history.replaceState(null, "", location.pathname + location.hash);
  listen();
}

// A link to an attempt opens it.
function openTarget() {
  const target = location.hash.startsWith("#attempt-") && document.getElementById(location.hash.slice(1));
  if (target) target.querySelector("details").open = true;
}
addEventListener("hashchange", openTarget);
openTarget();
