//! Pages of handmade runs: the data that a browser is given.

use serde_json::{Value, json};

use super::pictures::run_named;
use super::{Run, lock, worker_started};
use crate::report::html;
use crate::report::language::Language;
use crate::scenarios::facts::*;

fn page(run: &Run) -> String {
    let mut page = Vec::new();
    html::write_rest(&run.0, 0, Language::En, &mut page).expect("memory takes everything");
    String::from_utf8(page).expect("a page is text")
}

/// Returns the data in a page.
fn data(page: &str) -> Value {
    let (_, data) = page.split_once("<script type=\"application/json\" id=\"run\">\n").expect("the data");
    let (data, _) = data.split_once("\n</script>").expect("its end");
    serde_json::from_str(data).expect("JSON")
}

fn put(run: Run, number: u64) -> Run {
    let fact = ItemFact::ItemPut { value: number.into(), from: "p-1".to_owned(), number, size: None };
    run.then("p-1", fact)
}

#[test]
fn nothing_at_all_is_a_page() {
    let page = page(&Run(Vec::new()));
    assert!(page.starts_with(html::BEGINNING) && page.ends_with("</html>\n"));
    assert_eq!(data(&page)["events"], json!([]));
}

#[test]
fn nothing_in_a_run_ends_an_element() {
    let evil = "</script></noscript><!--{{run}}&\u{1b}\"'";
    let run = run_named(evil);
    let page = page(&run);
    let count = |text: &str| page.matches(text).count();
    assert_eq!([count("</script>"), count("</noscript>"), count("<!--")], [2, 1, 1]);
    let events = &data(&page)["events"];
    assert!(events[1].to_string().contains("{{run}}"), "{events}");
}

#[test]
fn changes_lead_to_the_last_state() {
    let wants = || LockFact::LockWaiting { lock: lock() };
    let has = || LockFact::LockAcquired { lock: lock(), waited_us: 0, abandoned: false };
    let run = Run::of("tickets", 2)
        .then("buyer-1", worker_started(false))
        .then("buyer-1", wants())
        .then("buyer-1", has())
        .then("buyer-2", worker_started(false))
        .then("buyer-2", wants())
        .then("buyer-1", LockFact::LockReleased { lock: lock(), held_us: 1 })
        .then("buyer-2", has());
    let data = data(&page(&run));
    let events = data["events"].as_array().expect("events");
    assert_eq!(events.len(), 7, "the first one is the state before");
    assert_eq!(events[1][2], json!(["waits for the lock"]));
    let last = events.iter().fold(data["first"].clone(), |state, event| html::patched(&state, &event[3]));
    assert_eq!(last["lanes"].as_array().expect("lanes").len(), 2);
    assert_eq!((&last["lanes"][0]["state"], &last["lanes"][1]["state"]), (&json!("running"), &json!("holding")));
    assert_eq!((&last["things"][0]["holder"], &last["things"][0]["waiters"]), (&json!("buyer-2"), &json!([])));
}

#[test]
fn page_of_a_long_run_shows_its_end_and_says_so() {
    let started = Run::of("queue", 1).then("p-1", worker_started(false));
    let run = (1..=30_000).fold(started, put);
    let page = page(&run);
    assert!(page.len() < 200_000, "{}", page.len());
    let data = data(&page);
    let events = data["events"].as_array().expect("events");
    let missing = 30_001 - events.len();
    assert!(missing > 25_000 && data["forgotten"] == format!("{missing} earlier events are not in this page."));
    assert_eq!(data["from_us"], run.0[missing].at_us);
    assert_eq!(events[0][0], run.0[missing + 1].at_us);
    assert_eq!(data["first"]["lanes"][0]["state"], "running");
}
