//! The page of a run, in a real browser: it plays, shows what the run reported, and is complete in itself.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::Browser;
use crate::harness::{Demo, patient_watchdog};
use crate::report::pictures::scenarios;
use crate::report::schema::{Event, Fact};

/// WebDriver's code points for keys.
const END: char = '\u{e010}';
const HOME: char = '\u{e011}';
const LEFT: char = '\u{e012}';
const RIGHT: char = '\u{e014}';

/// The largest page of a run with ten workers.
const MOST_BYTES: usize = 200_000;

/// A browser, and the pages that it opens.
struct Reader {
    browser: Browser,
    directory: TempDir,
}

impl Reader {
    fn page(&self) -> PathBuf {
        self.directory.path().join("run.html")
    }

    /// Runs a scenario, checks its page as a file, and opens it. Returns the events after the start of the run: the page
    /// begins with that.
    fn watch(&self, scenario: &str, args: &[&str]) -> Vec<Event> {
        let demo = Demo::run(scenario).args(args.iter().copied()).args(["--format", "json", "--html"]);
        let events = demo.arg(self.page()).expect_exit(0).events().split_off(1);
        let page = fs::read_to_string(self.page()).expect("it was written");
        assert!(page.len() < MOST_BYTES, "{scenario}: {} bytes", page.len());
        assert!(!page.contains("http:") && !page.contains("https:"), "{scenario} refers to something outside");
        self.browser.open(&self.page());
        self.is_quiet(scenario);
        events
    }

    /// Expects that nothing was written to the console.
    fn is_quiet(&self, scenario: &str) {
        let console = self.browser.console();
        assert!(console.is_empty(), "{scenario}: {console:?}");
    }

    /// Returns an expression of the page.
    fn get(&self, expression: &str) -> Value {
        self.browser.run(&format!("return {expression};"))
    }

    /// Returns the texts of all elements that a selector finds.
    fn texts(&self, selector: &str) -> Vec<String> {
        let texts =
            self.get(&format!("[...document.querySelectorAll('{selector}')].map((found) => found.textContent)"));
        serde_json::from_value(texts).expect("texts")
    }

    /// Returns how many events have happened, and how many there are.
    fn count(&self) -> [usize; 2] {
        let clock = self.get("document.getElementById('clock').value.split(' · ')[1].split('/').map(Number)");
        serde_json::from_value(clock).expect("two numbers")
    }

    /// Moves the slider, as a mouse does.
    fn scrub(&self, seconds: f64) {
        let slider = "const slider = document.getElementById('scrub');";
        self.browser.run(&format!("{slider} slider.value = {seconds}; slider.dispatchEvent(new Event('input'));"));
    }

    fn holders(&self) -> Vec<String> {
        self.texts(".of-lock .holds")
    }
}

#[test]
fn pages_play_in_a_browser() {
    let _watchdog = patient_watchdog("html::pages");
    let Some(browser) = Browser::start() else { return };
    let reader = Reader { browser, directory: tempfile::tempdir().expect("a directory") };
    holder_is_shown_at_every_moment(&reader);
    page_without_scripts_is_the_timeline(&reader);
    page_follows_the_colours_of_the_reader(&reader);
    for scenario in scenarios() {
        every_event_is_shown(&reader, &scenario);
    }
    chinese_run_is_a_chinese_page(&reader);
}

fn holder_is_shown_at_every_moment(reader: &Reader) {
    let events = reader.watch("tickets", &["--lock", "--speed", "50", "--buyers", "10", "--seed", "57"]);
    assert_eq!(reader.count(), [0, events.len()]);
    assert_eq!(reader.texts(".of-lock .free"), ["free"]);
    // In the middle between each acquisition and its release.
    let holds: Vec<(&Event, &Event)> = events
        .iter()
        .filter(|event| matches!(event.fact, Fact::LockAcquired { .. }))
        .map(|event| {
            let is_release =
                |other: &&Event| other.worker == event.worker && matches!(other.fact, Fact::LockReleased { .. });
            (event, events.iter().find(is_release).expect("it was released"))
        })
        .collect();
    assert_eq!(holds.len(), 10);
    for (acquired, released) in [holds[7], holds[0], holds[4]] {
        reader.scrub((acquired.at_us + released.at_us) as f64 / 2e6);
        assert_eq!(reader.holders(), [acquired.worker.as_str()]);
        let waiting = reader.texts("[data-state=waiting] .name").len();
        assert_eq!(reader.texts(".of-lock .waits").len(), waiting, "who waits is in the queue");
    }
    // Event by event.
    let acquired = events.iter().position(|event| std::ptr::eq(event, holds[0].0)).expect("it is one of them");
    reader.browser.press(HOME);
    assert_eq!(reader.count()[0], 0);
    (0..acquired).for_each(|_| reader.browser.press(RIGHT));
    assert_eq!(reader.holders(), [""; 0]);
    reader.browser.press(RIGHT);
    assert_eq!((reader.holders(), reader.count()[0]), (vec![holds[0].0.worker.clone()], acquired + 1));
    assert!(reader.texts("#caption")[0].contains(&holds[0].0.worker));
    reader.browser.press(LEFT);
    assert_eq!(reader.holders(), [""; 0]);
    // It plays to the end, and says how it ended.
    reader.browser.run("document.getElementById('speed').selectedIndex = document.getElementById('speed').length - 1;");
    reader.browser.press(' ');
    assert!(reader.get("document.getElementById('page').classList.contains('playing')").as_bool().is_some());
    reader.browser.wait(
        "new Promise((ended) => {
            const look = () => document.querySelector('.playing') ? requestAnimationFrame(look) : ended();
            look();
        })",
    );
    assert_eq!(reader.count(), [events.len(); 2]);
    assert!(reader.texts("#claim")[0].contains("guaranteed, and held"), "{:?}", reader.texts("#claim"));
    reader.is_quiet("tickets --lock");
}

fn page_without_scripts_is_the_timeline(reader: &Reader) {
    let scripts = |is_disabled: bool| {
        reader.browser.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": is_disabled }));
        reader.browser.open(&reader.page());
    };
    scripts(true);
    let shown = "const box = document.querySelector('noscript svg')?.getBoundingClientRect(); return box?.height > 100";
    assert_eq!(reader.browser.run(shown), true);
    assert_eq!(reader.get("document.getElementById('page').getBoundingClientRect().height"), 0);
    scripts(false);
    assert_eq!(reader.browser.run(shown), false);
}

fn page_follows_the_colours_of_the_reader(reader: &Reader) {
    let [light, dark] = ["light", "dark"].map(|scheme| {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        reader.browser.devtools("Emulation.setEmulatedMedia", json!({ "features": features }));
        reader.get("getComputedStyle(document.documentElement).backgroundColor")
    });
    assert_eq!((light, dark), (json!("rgb(255, 255, 255)"), json!("rgb(18, 23, 29)")));
}

/// Steps through a whole run, and back.
fn every_event_is_shown(reader: &Reader, scenario: &str) {
    let events = reader.watch(scenario, &["--speed", "max"]);
    let step = |key: &str, many: usize| {
        let press =
            format!("document.body.dispatchEvent(new KeyboardEvent('keydown', {{ key: '{key}', bubbles: true }}));");
        reader.browser.run(&format!("for (let n = 0; n < {many}; n++) {press}"));
    };
    step("ArrowRight", events.len());
    assert_eq!(reader.count(), [events.len(); 2], "{scenario}");
    let workers = events.iter().filter(|event| matches!(event.fact, Fact::WorkerStarted { .. })).count();
    let lanes = reader.texts("#lanes .name");
    assert!(
        !lanes.is_empty() && lanes.len() <= workers && lanes.iter().all(|name| !name.is_empty()),
        "{scenario}: {lanes:?}"
    );
    assert!(!reader.texts("#things h3").is_empty(), "{scenario} shares something");
    let shown = "[...document.querySelectorAll('.card, .row')].map((one) => one.textContent).join()";
    let at_the_end = reader.get(shown);
    reader.browser.press(HOME);
    assert_eq!(reader.count()[0], 0, "{scenario}");
    reader.browser.press(END);
    assert_eq!(reader.get(shown), at_the_end, "{scenario}: the way does not matter");
    step("ArrowLeft", events.len() - 1);
    assert_eq!(reader.count()[0], 1, "{scenario}");
    reader.is_quiet(scenario);
}

fn chinese_run_is_a_chinese_page(reader: &Reader) {
    reader.watch("tickets", &["--lock", "--speed", "100", "--buyers", "2", "--lang", "zh"]);
    reader.browser.press(END);
    assert_eq!(reader.get("document.documentElement.lang"), "zh-Hans");
    let said = reader.get("document.getElementById('page').innerText.replaceAll(/^.*ipc-demo tickets.*$/gm, '')");
    let said = said.as_str().expect("a text");
    assert!(said.contains("购票者1") && said.contains("播放"), "{said}");
    let letters = said.split(|letter: char| !letter.is_ascii_alphabetic()).filter(|word| word.len() > 1);
    assert_eq!(letters.collect::<Vec<_>>(), ["tickets", "Home", "End"], "{said}");
}
