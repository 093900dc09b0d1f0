//! `ipc-demo tour`: five short runs in the order in which one learns from them, each with what to watch.
//!
//! A stop is a command, performed as if it had been typed; its summary says what happened.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use anstyle::Style;
use anyhow::Context;
use unicode_width::UnicodeWidthStr;

use super::{For, Globals, TOUR, command, perform, print};
use crate::outcome::{Failure, Outcome};
use crate::process::{StopSignal, StopSignals};
use crate::report::cells::fold;
use crate::report::{Language, Screen, columns, say};
use crate::sys::fd;
use crate::sys::terminal::{CTRL_Z, Keys};

/// What the command is for; the first line alone is its short form.
pub(super) const ABOUT: &str = "\
See five short runs, each with what to watch

The tour shows a sale without a lock, the same sale with one, a pipe, a queue, and a queue that knows when every task is \
done. Each stop is a command that you can also type. Space or Enter continues, q quits, and Ctrl-C ends the tour in the \
middle of a run. If stdin or stdout is not a terminal, the tour does not wait between the stops.

Examples:
  ipc-demo tour              at the pace of the reference programs
  ipc-demo tour --speed 5    five times faster
  ipc-demo tour --lang zh    in Chinese
  ipc-demo tour | less       to read at leisure";

/// A command, and two sentences about what to watch, in English and in Chinese.
struct Stop {
    command: &'static str,
    watch: [&'static str; 2],
}

static STOPS: [Stop; 5] = [
    Stop {
        command: "tickets --buyers 5",
        watch: [
            "There are three tickets for five buyers: each buyer reads from a file how many are left, thinks for a second \
             or two, and writes back one less. Watch how many tickets each buyer sees, and how many are sold in the end.",
            "五个购票者抢三张票：每个人先从文件读出余票，思考一两秒，再把余票减一写回。观察每个人看到的余票数，以及最后\
             一共卖出几张。",
        ],
    },
    Stop {
        command: "tickets --buyers 5 --lock",
        watch: [
            "The same sale with a lock: after its first look, each buyer acquires the lock, reads the file again, thinks, \
             writes, and releases it. Watch the columns between the time and the names: one buyer holds the lock, and the \
             others wait for it, not always first come, first served.",
            "同样是抢票，但加了一把锁：购票者先拿到锁，再重新读取余票、思考、写回，最后释放锁。注意时间和名字之间的几列：始终\
             只有一个购票者持有锁，其余的都在等待，但不一定先到先得。",
        ],
    },
    Stop {
        command: "pipe --messages 5",
        watch: [
            "A pipe has two ends: a producer sends one number per second into one, and a consumer receives them from the \
             other. Watch what happens when the consumer tries to send, and how it learns that no more numbers will come.",
            "管道有两端：生产者每秒从一端发送一个数，消费者从另一端接收。注意消费者尝试发送时会怎样，以及它如何得知不会再有\
             数据。",
        ],
    },
    Stop {
        command: "prodcons --producers 2 --consumers 2 --items 3",
        watch: [
            "Two producers put numbers into one queue, and two consumers take them out. Watch which consumer gets \
             which number: none arrives twice, and none is missing.",
            "两个生产者向同一个队列放入数据，两个消费者从中取出。注意每个数据被哪个消费者取走：既不重复，也不遗漏。",
        ],
    },
    Stop {
        command: "joinable --items 3",
        watch: [
            "Two producers put tasks into a queue, a consumer marks each task as done, and the runner waits until all are \
             done. Watch how the work goes on after the producers have exited, and how the consumer, a daemon, ends.",
            "两个生产者向队列放入任务，消费者每处理完一个就标记一个，主进程等待全部处理完。观察生产者结束后，剩余任务如何被处\
             理完，以及消费者（守护进程）最后如何结束。",
        ],
    },
];

/// What a person may do after the last stop, in English and in Chinese.
const END: [&str; 2] = [
    "\
The tour ends here. Try next:
  ipc-demo explore tickets --buyers 2    every order of two buyers' steps
  ipc-demo chaos                         kills in the middle of every operation
  ipc-demo --help                        all scenarios and commands
",
    "\
导览到此结束。接下来可以试试：
  ipc-demo explore tickets --buyers 2    两个购票者的每一种执行顺序
  ipc-demo chaos                         在每个操作的中途杀死进程
  ipc-demo --help                        所有场景和命令
",
];

/// The answer to a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    GoOn,
    End,
    Stop(StopSignal),
}

/// Performs every stop, up to the first that does not end well, or until the person ends the tour.
pub(super) fn run(globals: &Globals, args: &[OsString]) -> Result<Outcome, Failure> {
    let language = globals.language();
    let is_bold = globals.color.is_wanted(io::stdout().is_terminal());
    let bold = |text: &str| if is_bold { format!("{0}{text}{0:#}", Style::new().bold()) } else { text.to_owned() };
    let waits = io::stdin().is_terminal() && io::stdout().is_terminal();
    let end = language.pick(END[0], END[1]);
    for (index, Stop { command: typed, .. }) in STOPS.iter().enumerate() {
        let [title, watch] = text_of_stop(index, language, columns());
        let gap = if index == 0 { "" } else { "\n" };
        let text = format!("{gap}{}\n{watch}\n\n", bold(&title));
        let shown = print(language, text.as_bytes())?;
        if shown != Outcome::Fine {
            return Ok(shown);
        }
        if waits {
            match ask(language, &bold)? {
                Answer::GoOn => {}
                Answer::End => return print(language, end.as_bytes()),
                Answer::Stop(signal) => return Ok(Outcome::Stopped(signal)),
            }
        }
        let outcome = {
            // Keys that are pressed during a run are not shown between its lines, and not meant for the next stop.
            let stdin = io::stdin();
            let _unshown = waits.then(|| Keys::of(stdin.as_fd()));
            go(&args_of_stop(args, typed))?
        };
        if outcome != Outcome::Fine {
            return Ok(outcome);
        }
    }
    print(language, format!("\n{end}").as_bytes())
}

/// Returns the title of a stop, and what to watch there.
fn text_of_stop(index: usize, language: Language, columns: usize) -> [String; 2] {
    let (Stop { command, watch: [en, zh] }, number, count) = (&STOPS[index], index + 1, STOPS.len());
    let place = say!(in language, "{number} of {count}", "第 {number} 站，共 {count} 站");
    let title = fold(&format!("{place}  ·  ipc-demo {command}"), "  ", columns);
    [title, fold(language.pick(en, zh), "", columns)]
}

/// Returns the command line of a stop: that of the tour with another command.
fn args_of_stop(args: &[OsString], typed: &str) -> Vec<OsString> {
    let is_command = |arg: &&OsString| *arg == TOUR;
    let before = args.iter().take_while(|arg| !is_command(arg)).count();
    let words = typed.split_whitespace().map(OsString::from);
    args[..before].iter().cloned().chain(words).chain(args.iter().skip(before + 1).cloned()).collect()
}

/// Performs the command of a stop.
fn go(args: &[OsString]) -> Result<Outcome, Failure> {
    let matches = command(For::Parsing).try_get_matches_from(args);
    perform(&matches.map_err(|error| Failure::Unusable(error.into()))?, args)
}

/// Waits until the person goes on, ends the tour, or stops the program.
fn ask(language: Language, bold: &dyn Fn(&str) -> String) -> anyhow::Result<Answer> {
    let prompt = language.pick("space: continue   q: quit", "空格：继续   q：结束");
    let signals = StopSignals::catch()?;
    let stdin = io::stdin();
    // Before the prompt: what is pressed after it counts.
    let keys = Keys::with_ctrl_z(stdin.as_fd()).context("cannot read keys from the terminal")?;
    let show = |text: &str| Screen::for_people(language).write_all(text.as_bytes()).context("cannot write to stdout");
    let erased = format!("\r{}\r", " ".repeat(prompt.width()));
    show(&bold(prompt))?;
    let answer = loop {
        fd::wait_any_readable(&[keys.as_fd(), signals.as_fd()], None).context("cannot wait for a key")?;
        if let Some(signal) = signals.asked() {
            break Answer::Stop(signal);
        }
        let pressed = keys.read().context("cannot read a key from the terminal")?;
        if pressed.contains(&CTRL_Z) {
            show(&erased)?;
            keys.suspend().context("cannot suspend the tour")?;
            show(&bold(prompt))?;
        } else if let Some(answer) = answer(&pressed) {
            break answer;
        }
    };
    show(&erased)?;
    Ok(answer)
}

/// Returns what the bytes of the keys mean that were pressed. None of them: the terminal is gone.
fn answer(keys: &[u8]) -> Option<Answer> {
    const CTRL_D: u8 = 4;
    let meant = keys.iter().find_map(|key| match key {
        b' ' | b'\n' | b'\r' => Some(Answer::GoOn),
        b'q' | b'Q' | &CTRL_D => Some(Answer::End),
        _ => None,
    });
    if keys.is_empty() { Some(Answer::End) } else { meant }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn stop_is_a_command_with_the_options_of_the_tour() {
        let of_stop = |line| args_of_stop(&words(line), "tickets --lock");
        assert_eq!(of_stop("ipc-demo tour --speed 2"), words("ipc-demo tickets --lock --speed 2"));
        assert_eq!(of_stop("ipc-demo --lang zh tour"), words("ipc-demo --lang zh tickets --lock"));
    }

    #[test]
    fn every_stop_can_be_typed_and_has_two_sentences() {
        for Stop { command: typed, watch: [en, zh] } in &STOPS {
            let line = words(&format!("ipc-demo {typed}"));
            command(For::Parsing).try_get_matches_from(line).expect(typed);
            // The last character ends the second one.
            assert_eq!((en.matches(". ").count(), zh.matches('。').count()), (1, 2), "{en} {zh}");
            assert!(en.ends_with('.') && zh.ends_with('。'), "{en} {zh}");
        }
    }

    #[test]
    fn stops_are_described_in_both_languages() {
        for (name, language) in [("tour.en", Language::En), ("tour.zh", Language::Zh)] {
            let all = (0..STOPS.len()).map(|index| text_of_stop(index, language, 80).join("\n") + "\n\n");
            let text = all.collect::<String>() + language.pick(END[0], END[1]);
            assert!(text.lines().all(|line| line.width() <= 80), "{text}");
            insta::with_settings!({ snapshot_path => "../../data/golden", prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(name, text);
            });
        }
    }

    #[test]
    fn space_and_enter_go_on_and_q_ends() {
        for (key, meaning) in [
            (&b" "[..], Some(Answer::GoOn)),
            (b"\n", Some(Answer::GoOn)),
            (b"q", Some(Answer::End)),
            (b"", Some(Answer::End)),
            (b"\x1b[A", None),
            (b"x", None),
            (b"x q", Some(Answer::GoOn)),
        ] {
            assert_eq!(answer(key), meaning, "{key:?}");
        }
    }
}
