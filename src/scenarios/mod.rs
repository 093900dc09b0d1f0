//! The scenarios: one file each, and one row each in [`SCENARIOS`].
//!
//! A [`Scenario`](scenario::Scenario) is checked before anything starts (`prepare`), run by real worker processes
//! (`run`), and judged by what they did (`check`). Its help, its dispatch and the roles of its workers all come from its
//! row in the table.
//!
//! | file | content |
//! |---|---|
//! | `scenario`, `prelude` | the trait, and the imports of every scenario |
//! | `entry` | a row of the table, and a run from its arguments to its exit code |
//! | `exploration`, `stepping`, `live` | every schedule of a scenario, a given one, or one that a person chooses, in lines or on the screen |
//! | `runner`, `worker`, `clock`, `speed` | starting workers and showing their reports; the workers' side; the time of a run |
//! | `held`, `delivery_audit`, `transport`, `buffer`, `ticket_file` | the parts of one or several scenarios |

mod barrier;
mod buffer;
mod clock;
mod condition;
mod deadlock;
mod delivery_audit;
mod entry;
mod event;
mod exploration;
mod held;
mod joinable;
mod live;
mod manager;
mod pipe;
mod pool;
mod prelude;
mod prodcons;
mod queue;
mod runner;
mod scenario;
mod semaphore;
mod speed;
mod stepping;
mod ticket_file;
mod tickets;
mod transport;
mod values;
mod worker;

pub(crate) use entry::{Entry, Invocation, with_about};
pub(crate) use exploration::ExploreArgs;
pub(crate) use runner::{Kill, RunOptions};
pub(crate) use speed::Speed;
pub(crate) use transport::{ServerArgs, server_in_environment};

/// All scenarios, in the order of the help.
pub(crate) static SCENARIOS: &[Entry] = &[
    Entry::of::<tickets::Tickets>(),
    manager::ENTRY,
    Entry::of::<pipe::Pipe>(),
    Entry::of::<queue::Queue>(),
    Entry::of::<prodcons::Prodcons>(),
    Entry::of::<joinable::Joinable>(),
    Entry::of::<values::Values>(),
    Entry::of::<pool::Pool>(),
    Entry::of::<semaphore::Semaphore>(),
    Entry::of::<event::Event>(),
    Entry::of::<barrier::Barrier>(),
    Entry::of::<condition::Condition>(),
    Entry::of::<deadlock::Deadlock>(),
];

/// What workers report, and what scenarios say, for the tests of reports.
#[cfg(test)]
pub(crate) mod facts {
    use clap::{Args, Command, FromArgMatches};

    use super::scenario::Scenario;
    use crate::report::{Names, Thing};

    /// What a scenario says of itself.
    struct Said {
        name: &'static str,
        claim: [&'static str; 2],
        needs: [&'static str; 2],
        names: Names,
        things: fn(&[&str]) -> Vec<Thing>,
    }

    impl Said {
        const fn by<S: Scenario>() -> Self {
            Said { name: S::NAME, claim: S::CLAIM, needs: S::NEEDS, names: S::NAMES, things: things::<S> }
        }
    }

    fn things<S: Scenario>(args: &[&str]) -> Vec<Thing> {
        let matches = S::Args::augment_args(Command::new(S::NAME)).get_matches_from([S::NAME].iter().chain(args));
        S::prepare(S::Args::from_arg_matches(&matches).expect("arguments")).expect("a scenario").things()
    }

    /// All scenarios, in the order of the help.
    fn all() -> [Said; 13] {
        [
            Said::by::<super::tickets::Tickets>(),
            Said::by::<super::manager::Manager>(),
            Said::by::<super::pipe::Pipe>(),
            Said::by::<super::queue::Queue>(),
            Said::by::<super::prodcons::Prodcons>(),
            Said::by::<super::joinable::Joinable>(),
            Said::by::<super::values::Values>(),
            Said::by::<super::pool::Pool>(),
            Said::by::<super::semaphore::Semaphore>(),
            Said::by::<super::event::Event>(),
            Said::by::<super::barrier::Barrier>(),
            Said::by::<super::condition::Condition>(),
            Said::by::<super::deadlock::Deadlock>(),
        ]
    }

    fn said(scenario: &str) -> Option<Said> {
        all().into_iter().find(|said| said.name == scenario)
    }

    /// Returns the claim of a scenario, and what it needs to promise it.
    pub(crate) fn claim(scenario: &str) -> ([&'static str; 2], [&'static str; 2]) {
        said(scenario).map_or((["", ""], ["", ""]), |said| (said.claim, said.needs))
    }

    /// Returns the claims of all scenarios.
    pub(super) fn claims() -> [[&'static str; 2]; 13] {
        all().map(|said| said.claim)
    }

    /// Returns the names that a scenario defines.
    pub(crate) fn names(scenario: &str) -> Names {
        said(scenario).map_or(&[], |said| said.names)
    }

    /// Returns what the workers of a scenario with these options share.
    pub(crate) fn things_of(scenario: &str, args: &[&str]) -> Vec<Thing> {
        (said(scenario).expect("a scenario").things)(args)
    }

    pub(crate) use super::barrier::BarrierFact;
    pub(crate) use super::condition::ConditionFact;
    pub(crate) use super::deadlock::{DeadlockFound, Link};
    pub(crate) use super::delivery_audit::ItemFact;
    pub(crate) use super::event::RaceFact;
    pub(crate) use super::held::{LockFact, PermitFact};
    pub(crate) use super::manager::ManagerFact;
    pub(crate) use super::pipe::PipeFact;
    pub(crate) use super::pool::PoolFact;
    pub(crate) use super::tickets::SaleFact;
    pub(crate) use super::values::ValuesFact;
}

#[cfg(test)]
mod tests {
    use super::scenario::{CheckResult, Completion, Scenario};
    use super::*;
    use crate::RoleEntry;
    use crate::report::{Reason, Verdict};
    use clap::{Args, Command, FromArgMatches};
    use std::collections::BTreeSet;

    #[test]
    fn names_of_scenarios_and_roles_are_unique() {
        let names: BTreeSet<_> = SCENARIOS.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
        let roles: Vec<_> = SCENARIOS.iter().flat_map(|entry| entry.roles).map(RoleEntry::name).collect();
        assert_eq!(roles.iter().collect::<BTreeSet<_>>().len(), roles.len(), "{roles:?}");
    }

    #[test]
    fn verdict_is_about_what_the_survivors_could_show() {
        let result = |broken, finished| CheckResult {
            broken,
            finished,
            guaranteed: true,
            allowance: None,
            seen: Default::default(),
            facts: Vec::new(),
            advice: None,
        };
        let (whole, cut, one_died) = (Completion::default(), Completion::cut(), Completion::deaths(&["a"]));
        let failed = Completion { stopped: Some(Reason::Machinery), ..Completion::cut() };
        let all_died = Completion { started: 1, ..Completion::deaths(&["a"]) };
        for completion in [&whole, &cut, &one_died, &failed, &all_died] {
            assert_eq!(
                result(true, true).verdict(completion),
                Verdict::Violated,
                "what was seen counts: {completion:?}"
            );
        }
        for (completion, finished, unfinished) in [
            (&whole, Verdict::Held, Verdict::Violated),
            (&cut, Verdict::Held, Verdict::NotShown),
            (&failed, Verdict::Held, Verdict::NotShown),
            (&one_died, Verdict::Held, Verdict::NotShown),
            (&all_died, Verdict::Held, Verdict::NotShown),
        ] {
            assert_eq!(result(false, true).verdict(completion), finished, "{completion:?}");
            assert_eq!(result(false, false).verdict(completion), unfinished, "{completion:?}");
        }
    }

    #[test]
    fn claims_are_said_in_both_languages() {
        let claims = facts::claims();
        assert_eq!(claims.len(), SCENARIOS.len());
        assert_eq!(
            claims,
            [
                ["no ticket is sold twice, and no more are sold than there are", "每张票只卖一次，且不超卖"],
                ["no call is lost, and nobody proceeds too early", "没有调用丢失，也没有进程提前继续"],
                [
                    "every message arrives exactly once, in the order it was sent",
                    "每条消息恰好到达一次，且保持发送顺序"
                ],
                ["every item arrives exactly once, in the order it was put", "每个数据恰好到达一次，且保持放入顺序"],
                [
                    "every item arrives exactly once; each producer's items stay in order",
                    "每个数据恰好到达一次，且同一生产者的数据保持顺序"
                ],
                ["every task is done exactly once, and none is lost", "每个任务恰好处理一次，且不丢失"],
                ["no update is lost", "没有更新丢失"],
                ["every task has exactly one result", "每个任务恰好有一个结果"],
                [
                    "every car gets in; never more inside than there are spaces",
                    "每辆车都能停入，且同时停放的车辆不超过车位数"
                ],
                ["nobody starts before the gun; everybody starts after it", "枪响之前无人起跑，枪响之后全部起跑"],
                ["no round starts before the previous one is finished", "上一轮全部完成之前，下一轮不会开始"],
                [
                    "every item comes out exactly once; each producer's items stay in order",
                    "每个数据恰好取出一次，且同一生产者的数据保持顺序"
                ],
                ["there is no deadlock", "不会出现循环等待（死锁）"]
            ]
        );
    }

    #[test]
    fn a_role_is_named_after_its_scenario() {
        for entry in SCENARIOS {
            for role in entry.roles {
                assert!(role.name().starts_with(&format!("{}.", entry.name)), "{}", role.name());
            }
        }
    }

    /// Compares the activities in a scenario's moments with those that its events begin.
    fn compare_moments<S: Scenario>(args: &[&str]) {
        const ACTIVITIES: [&str; 3] = ["waiting", "holding", "working"];
        // The fact of every event can be parsed from these fields; fields that it does not have are ignored.
        let fact_of = |event: &str| {
            let fields = serde_json::json!({
                "event": event, "value": 0, "from": "", "number": 1, "timeout_us": 0, "waited_us": 0, "held_us": 0,
                "ran_us": 0, "lock": "", "abandoned": false, "semaphore": "", "condition": "", "round": 1, "cause": "",
                "left": 0, "error": "", "made": 0, "seen": 0, "object": "", "method": "", "args": [], "task": 1,
            });
            S::FACTS.iter().find_map(|parse| parse(&fields.to_string()).ok()).unwrap_or_else(|| panic!("{event}"))
        };
        let command = S::Args::augment_args(Command::new(S::NAME));
        let matches = command.get_matches_from([S::NAME].iter().chain(args));
        let args_of = S::Args::from_arg_matches(&matches).expect("arguments");
        let moments = S::prepare(args_of).expect("a scenario").moments();
        let (activities, events): (Vec<_>, Vec<_>) = moments.into_iter().partition(|it| ACTIVITIES.contains(it));
        let facts = events.into_iter().map(fact_of);
        let begun = facts.filter_map(|fact| ACTIVITIES.into_iter().find(|activity| fact.is_at(activity)));
        assert_eq!(activities.into_iter().collect::<BTreeSet<_>>(), begun.collect(), "{} {args:?}", S::NAME);
    }

    #[test]
    fn moments_are_the_events_and_the_activities_that_they_begin() {
        compare_moments::<tickets::Tickets>(&[]);
        compare_moments::<tickets::Tickets>(&["--lock"]);
        compare_moments::<manager::Manager>(&["--type", "all"]);
        compare_moments::<pipe::Pipe>(&[]);
        compare_moments::<pipe::Pipe>(&["--duplex"]);
        compare_moments::<queue::Queue>(&[]);
        compare_moments::<queue::Queue>(&["--fill"]);
        compare_moments::<prodcons::Prodcons>(&[]);
        compare_moments::<joinable::Joinable>(&[]);
        compare_moments::<values::Values>(&[]);
        compare_moments::<pool::Pool>(&[]);
        compare_moments::<semaphore::Semaphore>(&[]);
        compare_moments::<event::Event>(&[]);
        compare_moments::<barrier::Barrier>(&[]);
        compare_moments::<condition::Condition>(&[]);
        compare_moments::<deadlock::Deadlock>(&[]);
    }

    #[test]
    fn reports_know_no_scenario() {
        let report = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report");
        let mut folders = vec![report];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
                match entry.file_name().and_then(|name| name.to_str()).expect("a name") {
                    "tests" | "tests.rs" => {}
                    _ if entry.is_dir() => folders.push(entry),
                    _ => {
                        files += 1;
                        let text = std::fs::read_to_string(&entry).expect("a source file");
                        let code = text.split("#[cfg(test)]\nmod tests").next().expect("the first part");
                        assert!(!code.contains("crate::scenarios"), "{}", entry.display());
                        for name in SCENARIOS.iter().map(|scenario| scenario.name) {
                            let named = [format!("\"{name}\" =>"), format!("== \"{name}\""), format!("(\"{name}\",")];
                            assert!(!named.iter().any(|named| code.contains(named)), "{name} in {}", entry.display());
                        }
                    }
                }
            }
        }
        assert!(files > 15, "{files}");
    }

    #[test]
    fn every_command_is_well_formed() {
        SCENARIOS.iter().for_each(|entry| entry.command().debug_assert());
    }

    #[test]
    fn first_sentence_of_the_help_is_a_paragraph() {
        for entry in SCENARIOS {
            let lines: Vec<&str> = entry.about.lines().collect();
            assert!(lines.len() > 2 && lines[1].is_empty() && !lines[2].is_empty(), "{}", entry.name);
        }
    }
}
