"use strict";
// Plays a run: `states[n]` is what holds after its first n events, all computed before by the program that ran it.
{
  const run = JSON.parse(document.getElementById("run").textContent);
  const { words, events } = run;
  const id = (name) => document.getElementById(name);

  /** Returns an element of a class, with texts and elements in it. */
  const make = (tag, name, ...content) => {
    const element = document.createElement(tag);
    element.className = name;
    element.append(...content.filter((part) => part !== null && part !== undefined));
    return element;
  };

  /** Applies a patch, as patch.rs makes them. Parts that stay the same are shared. */
  const patched = (old, patch) => {
    if (Array.isArray(patch)) {
      return patch.length === 1 ? patch[0] : [...old.slice(0, patch[0]), ...patch[2], ...old.slice(patch[0] + patch[1])];
    }
    const value = Array.isArray(old) ? old.slice() : { ...old };
    for (const key in patch) value[key] = patched(old[key], patch[key]);
    return value;
  };

  const states = [run.first];
  for (const [, , , patch] of events) {
    const before = states[states.length - 1];
    states.push(patch ? patched(before, patch) : before);
  }

  // Where each event stands on the axis, in seconds: its time, or one second for each.
  const spread = (places) => places.map((place, n) => place + n * 1e-9);
  const origin = run.from_us / 1e6;
  const axes = [
    spread(events.map(([us]) => us / 1e6 - origin)),
    spread(events.map((_, n) => n + 1)),
  ];
  let axis = axes[0];
  const length = () => Math.max(axis[axis.length - 1] ?? 0, 1e-6) * 1.0001;

  // The moment that is shown: how many events have happened, and the place on the axis.
  let count = 0;
  let at = 0;
  let shown = null;
  let frame = 0;

  const total = events.length ? events[events.length - 1][0] / 1e6 : 0;

  const time = (seconds) => (total >= 1 ? `${seconds.toFixed(3)} ${words.s}` : `${(seconds * 1e3).toFixed(3)} ${words.ms}`);

  /** Returns how many events have happened at a place on the axis. */
  const countAt = (place) => {
    let [low, high] = [0, axis.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (axis[middle] <= place) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  /** Returns the time of a place on the axis. */
  const timeAt = (place) => {
    if (axis === axes[0]) return place + origin;
    return count ? events[count - 1][0] / 1e6 : origin;
  };

  const percent = (place) => `${((place / length()) * 100).toFixed(3)}%`;

  //
  // The moments.
  //

  const showMoment = () => {
    const left = percent(Math.min(at, length()));
    id("lanes").style.setProperty("--at", left);
    id("scrub").max = length();
    id("scrub").value = at;
    id("clock").value = `${time(timeAt(at))} · ${count}/${events.length}`;
    if (shown === count) return;
    const [before, now] = [shown === null ? null : states[shown], states[count]];
    shown = count;
    showThings(before, now);
    showLanes(before, now);
    showCaption();
    showEvents();
    showClaim();
    id("scrub").setAttribute("aria-valuetext", `${id("clock").value} ${id("caption").textContent}`);
  };

  /** Goes to a place on the axis. */
  const seek = (place) => {
    at = Math.min(Math.max(place, 0), length());
    count = countAt(at);
    showMoment();
  };

  /** Goes to the moment after the first `target` events. */
  const seekEvent = (target) => {
    pause();
    count = Math.min(Math.max(target, 0), events.length);
    at = count ? axis[count - 1] : 0;
    showMoment();
  };

  const isPlaying = () => frame !== 0;

  const pause = () => {
    cancelAnimationFrame(frame);
    frame = 0;
    showPlaying();
  };

  const play = () => {
    if (at >= length()) seek(0);
    let last = performance.now();
    const next = (now) => {
      const passed = Math.max(now - last, 0) / 1e3;
      last = now;
      frame = requestAnimationFrame(next);
      seek(at + passed * Number(id("speed").value));
      if (at >= length()) pause();
    };
    frame = requestAnimationFrame(next);
    showPlaying();
  };

  const toggle = () => (isPlaying() ? pause() : play());

  const showPlaying = () => {
    id("page").classList.toggle("playing", isPlaying());
    id("play").querySelector("span").textContent = isPlaying() ? words.pause : words.play;
    // What changes all the time is not read aloud.
    id("caption").setAttribute("aria-live", isPlaying() ? "off" : "polite");
  };

  //
  // Speed.
  //

  const offerSpeeds = () => {
    const isEven = axis === axes[1];
    const [least, most] = isEven ? [0.5, 50] : [0.001, 100];
    const all = [1, 10, 100, 1000, 1e4, 1e5].flatMap((power) => [1, 2, 5].map((factor) => (factor * power) / 1000));
    const speeds = all.filter((speed) => least <= speed && speed <= most);
    const name = (speed) => (isEven ? `${speed} ${words.per_second}` : speed < 1 ? `1/${Math.round(1 / speed)}` : `${speed}`);
    id("speed").replaceChildren(...speeds.map((speed) => new Option(isEven ? name(speed) : `× ${name(speed)}`, speed)));
    const seconds = length();
    const isWatchable = seconds >= 5 && seconds <= 60;
    id("speed").value = isEven ? 2 : isWatchable ? 1 : (speeds.findLast((speed) => seconds / speed >= 12) ?? speeds[0]);
  };

  const changeSpeed = (by) => {
    const { options, selectedIndex } = id("speed");
    id("speed").selectedIndex = Math.min(Math.max(selectedIndex + by, 0), options.length - 1);
  };

  const chooseAxis = () => {
    axis = axes[id("even").checked ? 1 : 0];
    at = count ? axis[count - 1] : 0;
    offerSpeeds();
    drawLanes();
    shown = null;
    showMoment();
  };

  //
  // What happened.
  //

  const nameOfWorker = (name) => run.names[name] ?? name;

  /** Returns the name of who an event happened to: a worker by its lane, or another process. */
  const nameOf = (who) => nameOfWorker(typeof who === "string" ? who : states[count].lanes[who].name);

  /** Returns the name of who an event happened to, unless its text begins with that. */
  const named = (who, [said]) => (said.startsWith(nameOf(who)) ? null : make("b", "", nameOf(who)));

  const showCaption = () => {
    if (!count) return id("caption").replaceChildren(words.start);
    const [us, who, said] = events[count - 1];
    id("caption").replaceChildren(
      make("time", "", time(us / 1e6)), " ", named(who, said) ?? "", " ", make("span", "", said[0]),
      ...said.slice(1).map((line) => make("span", "detail", line)),
    );
  };

  const MOST_SHOWN = 120;

  const items = [];

  /** Returns the line of an event, which leads to it. */
  const itemOf = (n) => {
    const [us, who, said, , look] = events[n];
    const button = make("button", look, make("time", "", time(us / 1e6)), named(who, said), make("span", "", said[0]));
    // The arrow keys lead to every event.
    button.tabIndex = -1;
    button.addEventListener("click", () => seekEvent(n + 1));
    return make("li", "", button);
  };

  const showEvents = () => {
    id("events").querySelector("[aria-current]")?.removeAttribute("aria-current");
    const last = [];
    for (let n = Math.max(0, count - MOST_SHOWN); n < count; n++) last.push((items[n] ??= itemOf(n)));
    last[last.length - 1]?.setAttribute("aria-current", "true");
    id("events").replaceChildren(...last);
  };

  const showClaim = () => {
    // A run whose result could not be checked has none.
    if (!run.claim) return;
    const isOver = count === events.length;
    id("claim").className = `claim ${isOver ? run.verdict : ""}`;
    id("claim").textContent = isOver ? run.said : `${words.claim}${run.claim}`;
    id("facts").textContent = isOver ? run.facts : "";
  };

  //
  // Workers.
  //

  const MOST_BARS = 1500;
  /** How many lanes need no scrolling. */
  const FEW_LANES = 8;
  const rows = [];

  /** Draws at most six round places on the axis. */
  const drawTicks = () => {
    const ticks = make("div", "ticks");
    const [start, unit] = axis === axes[1] ? [0, 1] : [origin, total >= 1 ? 1 : 1e3];
    const power = 10 ** Math.floor(Math.log10((length() * unit) / 6));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => (length() * unit) / candidate <= 6);
    const decimals = Math.max(0, -Math.floor(Math.log10(step * 1.0001)));
    for (let n = Math.ceil((start * unit) / step); n * step <= (start + length()) * unit; n++) {
      const tick = make("span", "", `${(n * step).toFixed(decimals)}${axis === axes[1] ? "" : ` ${total >= 1 ? words.s : words.ms}`}`);
      tick.style.left = percent((n * step) / unit - start);
      ticks.append(tick);
    }
    return ticks;
  };

  /** Draws the lane of every worker from the start of the run to its end. */
  const drawLanes = () => {
    rows.length = 0;
    const lanes = id("lanes");
    lanes.replaceChildren();
    const bands = make("div", "bands");
    const last = states[states.length - 1].lanes;
    last.forEach((_, index) => {
      const band = make("div", "band");
      let [from, before] = [0, run.first.lanes[index]];
      const draw = (to, lane) => {
        const state = lane?.state ?? "not_started";
        if (state === "not_started" || state === "ended") return;
        const bar = make("i", `bar ${state}`);
        bar.style.left = percent(from);
        bar.style.width = percent(to - from);
        band.append(bar);
      };
      let dotted = -1;
      const least = length() / MOST_BARS;
      events.forEach((_, n) => {
        const lane = states[n + 1].lanes[index];
        // Of changes that are too close to be seen, the last is drawn.
        if ((lane?.state ?? "") !== (before?.state ?? "")) {
          if (axis[n] - from >= least || from === 0) {
            draw(axis[n], before);
            from = axis[n];
          }
          before = lane;
        }
        const [, who, , , look] = events[n];
        if (who === index && (look || axis[n] - dotted > 4 * least)) {
          dotted = axis[n];
          const dot = make("i", `dot ${look}`);
          dot.style.left = percent(dotted);
          band.append(dot);
        }
      });
      draw(length(), before);
      const row = { name: make("span", "name"), does: make("span", "does"), band };
      rows.push(row);
      for (const cell of [row.name, row.does, band]) cell.style.gridRow = index + 1;
      const item = make("div", "row", row.name, row.does, band);
      item.role = "listitem";
      row.item = item;
      lanes.append(item);
    });
    bands.append(make("div", "veil"), make("div", "now"));
    bands.style.gridRow = `1 / span ${Math.max(last.length, 1)}`;
    bands.addEventListener("pointerdown", (start) => {
      pause();
      bands.setPointerCapture(start.pointerId);
      const go = ({ clientX }) => {
        const { left, width } = bands.getBoundingClientRect();
        seek(((clientX - left) / width) * length());
      };
      go(start);
      bands.onpointermove = go;
      bands.onpointerup = () => (bands.onpointermove = null);
    });
    lanes.style.setProperty("--row", `${Math.min(Math.max(280 / last.length, 24), 44)}px`);
    lanes.append(bands, drawTicks());
    lanes.role = "list";
  };

  let scroll = 0;

  /** Scrolls to the lane of the last event, once a frame. */
  const scrollToCurrent = () => {
    cancelAnimationFrame(scroll);
    scroll = requestAnimationFrame(() => id("lanes").querySelector(".current .name")?.scrollIntoView({ block: "nearest" }));
  };

  const showLanes = (before, now) => {
    const current = count ? events[count - 1][1] : null;
    if (rows.length > FEW_LANES) scrollToCurrent();
    rows.forEach((row, index) => {
      row.item.classList.toggle("current", index === current);
      const lane = now.lanes[index];
      if (before && before.lanes[index] === lane) return;
      const state = lane?.state ?? "not_started";
      row.item.dataset.state = state;
      row.name.textContent = nameOfWorker(lane?.name || states[states.length - 1].lanes[index].name);
      row.name.title = lane?.pid ? `${words.pid} ${lane.pid}` : "";
      row.does.replaceChildren(make("i", `sign ${state}`), lane?.says ?? "");
      row.does.title = row.does.textContent;
    });
  };

  //
  // Shared things.
  //

  const MOST_CHIPS = 24;
  const chip = (name, kind = "") => make("span", `chip ${kind}`, nameOfWorker(name));
  const line = (label, ...content) => make("p", "line", label ? make("span", "soft", label) : null, ...content);

  /** Returns the first of many, and how many more there are. */
  const few = (all, shown, make_one) => [
    ...all.slice(0, shown).map(make_one),
    ...(all.length > shown ? [make("span", "soft", `+${all.length - shown}`)] : []),
  ];

  const waiting = (names) =>
    names.length ? line(`${words.waiting} ${names.length}`, ...few(names, MOST_CHIPS, (name) => chip(name, "waits"))) : null;

  const slots = (total, names, kind) => {
    const empty = Math.max(0, Math.min(total, 60) - names.length);
    return make("p", "slots", ...few(names, 60, (name) => make("span", `slot ${kind}`, nameOfWorker(name))),
      ...Array.from({ length: empty }, () => make("span", "slot empty", "")));
  };

  const inOrder = (entries) => entries.sort(([one], [other]) => one.localeCompare(other, "en", { numeric: true }));

  const shapes = {
    number: ({ value, of, verb }) => [
      make("p", "big", String(value)),
      make("p", "line", ...few(inOrder(Object.entries(of)), MOST_CHIPS / 2, ([name, own]) => make("span", "chip", `${nameOfWorker(name)}${verb}`, make("b", "", String(own))))),
    ],
    lock: ({ holder, waiters, in_cycle }) => [
      line("", holder === null ? make("span", "chip free", words.free) : chip(holder, "holds"), in_cycle ? make("b", "bad", words.cycle) : null),
      waiting(waiters),
    ],
    permits: ({ total, holders, waiters }) => [slots(total, holders, "holds"), line(`${holders.length}/${total}`), waiting(waiters)],
    condition: ({ waiters }) => [waiting(waiters) ?? line(words.nobody)],
    lamp: ({ is_on, waiters }) => [
      line("", make("i", `light ${is_on ? "on" : ""}`), make("b", "", is_on ? words.set : words.unset)), waiting(waiters),
    ],
    barrier: ({ parties, round, waiters, is_broken }, state) => [
      slots(parties ?? state.lanes.length, waiters, "waits"),
      line(`${words.round} ${round} · ${waiters.length}/${parties ?? state.lanes.length}`, is_broken ? make("b", "bad", words.broken) : null),
    ],
    queue: ({ capacity, items, queued, put, got, done, left }) => {
      const empty = capacity === null ? 0 : Math.max(0, Math.min(capacity, 40) - items.length);
      const boxes = items.map((value) => make("span", "box", value));
      return [
        make("p", "boxes", make("span", "soft", "←"), ...boxes, queued || empty ? null : make("span", "soft", words.nothing), queued > items.length ? make("span", "soft", `+${queued - items.length}`) : null,
          ...Array.from({ length: empty }, () => make("span", "box empty", ""))),
        line([[words.queued, capacity === null ? queued : `${queued}/${capacity}`], [words.put, put], [words.got, got], [words.done, done], [words.left, left]]
          .filter(([, number], place) => place < 3 || number > 0).map((pair) => pair.join(" ")).join(" · ")),
      ];
    },
    tasks: ({ total, begun, running, left, failed, done }) => {
      const boxes = Array.from({ length: Math.min(total, 200) }, (_, place) => {
        const task = place + 1;
        const worker = running[task];
        const kind = worker ? "works" : failed.includes(task) ? "failed" : left.includes(task) ? "left" : task <= begun ? "done" : "empty";
        const box = make("span", `box ${kind}`, String(task), worker ? make("small", "", nameOfWorker(worker)) : null);
        box.title = worker ? nameOfWorker(worker) : words[kind] ?? "";
        return box;
      });
      return [make("p", "boxes", ...boxes), line(`${words.done} ${done}/${total}`)];
    },
    object: ({ value }) => [make("pre", "", typeof value === "string" ? value : JSON.stringify(value))],
  };

  const cards = [];

  /** Whether there are so many things that new ones come first. */
  const hasManyThings = states[states.length - 1].things.length > 6;

  const showThings = (before, now) => {
    const previous = states[count - 1] ?? now;
    while (cards.length > now.things.length) cards.pop().remove();
    now.things.forEach((thing, index) => {
      if (!cards[index] || before?.things[index] !== thing) {
        const card = make("article", `card of-${thing.shape}`, make("h3", "", thing.title), ...shapes[thing.shape](thing, now));
        if (cards[index]) cards[index].replaceWith(card);
        else if (hasManyThings) id("things").prepend(card);
        else id("things").append(card);
        cards[index] = card;
      }
      cards[index].classList.toggle("changed", previous.things[index] !== thing);
    });
  };

  // What is below does not move up and down while a run plays.
  let highest = 0;
  new ResizeObserver(() => {
    highest = Math.max(highest, id("things").offsetHeight);
    id("things").style.minHeight = `${highest}px`;
  }).observe(id("things"));
  addEventListener("resize", () => {
    highest = 0;
    id("things").style.minHeight = "";
  });

  //
  // The start.
  //

  const keys = {
    " ": toggle,
    ArrowLeft: () => seekEvent(count - 1),
    ArrowRight: () => seekEvent(count + 1),
    Home: () => seekEvent(0),
    End: () => seekEvent(events.length),
    "+": () => changeSpeed(1),
    "=": () => changeSpeed(1),
    "-": () => changeSpeed(-1),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !Object.hasOwn(keys, event.key)) return;
    // A focused control keeps the keys that are its own.
    const { target } = event;
    if (target.matches("select") || (event.key === " " && target.matches("button, input[type=checkbox]"))) return;
    event.preventDefault();
    keys[event.key]();
  });

  id("play").addEventListener("click", toggle);
  id("first").addEventListener("click", keys.Home);
  id("back").addEventListener("click", keys.ArrowLeft);
  id("forward").addEventListener("click", keys.ArrowRight);
  id("last").addEventListener("click", keys.End);
  id("even").addEventListener("change", chooseAxis);
  id("scrub").addEventListener("input", () => {
    pause();
    seek(Number(id("scrub").value));
  });

  for (const element of document.querySelectorAll("[data-text]")) element.textContent = words[element.dataset.text];
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", words[element.dataset.label]);
    if (element.matches("button")) element.title = words[element.dataset.label];
  }
  for (const name of ["title", "about", "command", "forgotten"]) id(name).textContent = run[name];
  id("legend").replaceChildren(
    ...run.legend.map(([state, said]) => make("span", "", make("i", `sign ${state}`), said)),
  );

  /** Goes to the event whose number the address ends with, as in `run.html#12`. */
  const seekAddress = () => {
    const number = /^#(\d+)$/.exec(location.hash);
    seekEvent(number ? Number(number[1]) : 0);
  };
  addEventListener("hashchange", seekAddress);
  id("page").hidden = false;
  chooseAxis();
  seekAddress();
}
