//! The screen of each scenario at one moment of a replayed schedule, on terminals of 80x24 and of 200x50; the expected
//! screens are in `data/golden`. A schedule is the same in every run, with its times and process IDs.

use super::{Screen, is_wide};
use crate::harness::watchdog;
use crate::report::pictures::scenarios;

const EN: &str = "C.UTF-8";
const ZH: &str = "zh_CN.UTF-8";

/// A replay, how many of its steps are taken, and the language.
const MOMENTS: [(&str, &str, &str); 12] = [
    ("tickets --buyers 3 --lock --schedule a2bc", "4", EN),
    ("pipe --messages 3 --schedule a3b2", "5", ZH),
    ("queue --items 3 --capacity 2 --schedule a2", "2", EN),
    ("prodcons --producers 2 --consumers 1 --items 2 --schedule a2bc", "4", ZH),
    ("joinable --producers 1 --consumers 2 --items 3 --schedule a3bcc!", "6", EN),
    ("values --workers 2 --increments 3 --schedule a3b3", "5", ZH),
    ("semaphore --permits 2 --workers 4 --schedule ab", "2", EN),
    ("event --racers 3 --schedule @a", "2", ZH),
    ("barrier --parties 3 --schedule ab", "2", EN),
    ("condition --capacity 1 --items 2 --producers 1 --consumers 2 --schedule a", "20", ZH),
    ("deadlock --schedule ab", "2", EN),
    ("manager --type lock --schedule a", "5", ZH),
];

impl Screen {
    /// Selects the worker on this line with a key, and returns the screen when that is shown: all that was drawn before is
    /// on it.
    fn settled(&self, key: &str, line: usize) -> String {
        self.press(&[key]);
        self.until(|text| text.lines().nth(line).is_some_and(|line| line.starts_with('▸')))
    }
}

#[test]
fn screens_are_those_of_the_schedule() {
    let _watchdog = watchdog("live::screens");
    let Some(first) = Screen::run("pool --workers 2 --live --speed max", EN) else { return };
    let screens = MOMENTS.map(|(command, _, language)| first.beside(&format!("{command} --live"), language));
    for (screen, (_, steps, _)) in screens.iter().zip(&MOMENTS) {
        screen.until(|text| text.contains("PAUSED") || text.contains("已暂停"));
        screen.press(&["-N", steps, "."]);
    }
    for (screen, (command, steps, _)) in screens.iter().zip(&MOMENTS) {
        let reached = [format!("step {steps} "), format!("第 {steps} 步")];
        screen.until(|text| reached.iter().any(|reached| text.contains(reached)));
        let narrow = screen.settled("Home", 3);
        screen.resize(200, 50);
        screen.until(is_wide);
        let wide = screen.settled("Down", 4);
        let scenario = command.split(' ').next().expect("a name");
        let screens = format!("{narrow}{}\n{wide}", "=".repeat(80));
        insta::with_settings!({ snapshot_path => "../../../data/golden", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("screen.{scenario}"), screens);
        });
        screen.press(&["q"]);
    }
    screens.iter().for_each(|screen| _ = screen.ends(0));
    // A pool has a thread that is not scheduled: its end is the same in every run.
    for (width, height) in [(80, 24), (200, 50)] {
        first.resize(width, height);
        first.until(|text| is_wide(text) == (width == 200) && text.contains("done 20  running 0  waiting 0"));
        first.shows(&["ENDED", "guaranteed, and held", "results 20"]);
    }
    first.press(&["q"]);
    first.ends(0);
    let mut shown: Vec<&str> = MOMENTS.map(|(command, ..)| command.split(' ').next().expect("a name")).to_vec();
    shown.push("pool");
    assert!(scenarios().iter().all(|scenario| shown.contains(&scenario.as_str())), "every scenario has a screen");
}
