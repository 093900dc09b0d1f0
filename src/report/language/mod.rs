//! The texts of the text report, in each language.

mod en;
mod literal;
mod zh;

pub(super) use literal::fitted;

use serde_json::Value;

use super::event::{Event, Fact, Reason, Verdict};
use super::known::Known;
use super::text::quoted;

/// A deadlock of more workers than this is truncated.
const MOST_LINKS: usize = 10;

/// A language of the text report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// English
    En,
    /// 中文
    Zh,
}

impl Language {
    /// Returns the language of the environment: the first of `LC_ALL`, `LC_MESSAGES` and `LANG` that names one.
    pub fn from_environment() -> Self {
        let said =
            ["LC_ALL", "LC_MESSAGES", "LANG"].iter().filter_map(std::env::var_os).find(|value| !value.is_empty());
        Self::from_locale(&said.unwrap_or_default().to_string_lossy())
    }

    fn from_locale(locale: &str) -> Self {
        if locale.starts_with("zh") { Language::Zh } else { Language::En }
    }

    /// Returns the text of an event, which is the last one that is known, from its worker's point of view.
    pub(super) fn sentence(self, known: &Known, event: &Event) -> String {
        match self {
            Language::En => en::sentence(known, event),
            Language::Zh => zh::sentence(known, event),
        }
    }

    /// Returns the lines below the sentence.
    pub(super) fn details(self, known: &Known, event: &Event) -> Vec<String> {
        let cycle = match &event.fact {
            Fact::DeadlockFound { cycle } => cycle,
            Fact::ManagerStarted { addresses, .. } => {
                return addresses.iter().map(|address| self.how_to_connect(address)).collect();
            }
            Fact::KeyExposed { file } => return vec![format!("chmod 600 {}", quoted(file))],
            // What the reference program prints, word for word.
            Fact::QueueFull { timeout_us: 0 } if self == Language::Zh && !known.sizes.is_empty() => {
                return vec![known.sizes.clone()];
            }
            Fact::QueueEmpty if self == Language::Zh && !known.numbers.is_empty() => {
                return vec![known.numbers.clone()];
            }
            _ => return Vec::new(),
        };
        let link = |link| match self {
            Language::En => en::link(link),
            Language::Zh => zh::link(link),
        };
        let more = |count| match self {
            Language::En => en::more_links(count),
            Language::Zh => zh::more_links(count),
        };
        let rest = cycle.len().saturating_sub(MOST_LINKS);
        cycle.iter().take(MOST_LINKS).map(link).chain((rest > 0).then(|| more(rest))).collect()
    }

    fn how_to_connect(self, address: &str) -> String {
        let elsewhere = self.pick("from another shell: ", "在另一个终端：");
        // Who listens everywhere has no name to be called by.
        let address = address.replacen("0.0.0.0", "HOST", 1).replacen("[::]", "HOST", 1);
        format!("{elsewhere}ipc-demo manager --connect {} --authkey-file FILE", quoted(&address))
    }

    /// Returns a worker's display name.
    pub(super) fn name(self, worker: &str) -> String {
        match self {
            Language::En => worker.to_owned(),
            Language::Zh => zh::name(worker),
        }
    }

    /// Returns the display name of something that workers wait for or hold.
    pub(super) fn thing(self, name: &str) -> String {
        match self {
            Language::En => name.to_owned(),
            Language::Zh => zh::name(name),
        }
    }

    /// Returns a counter and its value.
    pub(super) fn fact(self, name: &str, value: &Value) -> String {
        let label = match self {
            Language::En => en::fact(name),
            Language::Zh => zh::fact(name),
        };
        match value {
            Value::Bool(true) => format!("{label} {}", self.pick("yes", "是")),
            Value::Bool(false) => format!("{label} {}", self.pick("no", "否")),
            value => format!("{label} {value}"),
        }
    }

    /// Returns the display name of a kind of event, by its name in JSON Lines.
    pub(super) fn event(self, name: &str) -> String {
        match self {
            Language::En => en::event(name),
            Language::Zh => zh::event(name),
        }
    }

    /// Returns the verdict, the claim, and the allowance as one sentence.
    pub(super) fn verdict(self, summary: &Fact) -> String {
        let Fact::Summary { scenario, claim, verdict, guaranteed, allowance, reason, .. } = summary else {
            return String::new();
        };
        let is_stopped = reason.is_some();
        let (judged, claim, allowance) = match self {
            Language::En => (
                en::verdict(scenario, *verdict, *guaranteed, *reason),
                claim.as_str(),
                allowance.map(|allowance| en::allowance(allowance, is_stopped)),
            ),
            Language::Zh => (
                zh::verdict(*verdict, *guaranteed, *reason),
                zh::claim(scenario, claim),
                allowance.map(|allowance| zh::allowance(allowance, is_stopped)),
            ),
        };
        // If the verdict was not reached, the text already says so.
        let allowance = allowance.or_else(|| match reason.filter(|_| *verdict != Verdict::NotShown)? {
            Reason::Cut => Some(self.pick("the run was stopped early", "运行被提前停止")),
            Reason::Killed => None,
            Reason::Machinery => Some(self.pick("a worker failed", "有进程出错")),
        });
        let allowance = allowance.map(|said| self.pick(" (", "（").to_owned() + said + self.pick(")", "）"));
        format!("{judged}{}{claim}{}", self.pick(": ", "："), allowance.unwrap_or_default())
    }

    /// What a reader may try next, after this outcome.
    pub(super) fn advice(self, known: &Known, scenario: &str, verdict: Verdict) -> Option<&'static str> {
        let advice = match (scenario, verdict) {
            ("tickets", Verdict::Violated) => Some(self.pick(
                "all buyers read before anyone wrote; a lock prevents it: ipc-demo tickets --lock",
                "购票者都在写入前读取了余票；加锁即可避免：ipc-demo tickets --lock",
            )),
            ("semaphore", _) => Some(self.pick(
                "with one permit a semaphore is a lock: ipc-demo semaphore --permits 1",
                "只有一个许可的信号量就是一把锁：ipc-demo semaphore --permits 1",
            )),
            ("event", _) => Some(self.pick(
                "kill a racer at the start line: ipc-demo event --kill racer-1@waiting",
                "在起跑线上杀死一个选手：ipc-demo event --kill racer-1@waiting",
            )),
            ("barrier", _) => Some(self.pick(
                "kill a worker, and the others are told: ipc-demo barrier --kill worker-1@waiting",
                "杀死一个进程，其他进程会得知：ipc-demo barrier --kill worker-1@waiting",
            )),
            ("joinable", _) => Some(self.pick(
                "kill a consumer with its task: ipc-demo joinable --consumers 2 --kill consumer-1@working",
                "杀死一个持有任务的消费者：ipc-demo joinable --consumers 2 --kill consumer-1@working",
            )),
            ("condition", _) => Some(self.pick(
                "mostly full: ipc-demo condition --producers 4 --consumers 1",
                "缓冲区常满：ipc-demo condition --producers 4 --consumers 1",
            )),
            ("values", Verdict::Violated) => Some(self.pick(
                "two workers read the same number; a lock prevents it: ipc-demo values --lock",
                "两个进程读到了同一个数；加锁即可避免：ipc-demo values --lock",
            )),
            ("manager", _) => Some(self.pick(
                "for other types, shells, machines and scripts: ipc-demo manager --help",
                "其他类型、终端、机器和脚本：ipc-demo manager --help",
            )),
            ("deadlock", Verdict::Violated) => Some(self.pick(
                "one order for all locks prevents it: ipc-demo deadlock --ordered",
                "所有进程按同一顺序获取锁即可避免：ipc-demo deadlock --ordered",
            )),
            ("deadlock", Verdict::Held) => Some(self.pick(
                "a cycle of any length is found: ipc-demo deadlock --workers 5",
                "任意长度的循环等待都能发现：ipc-demo deadlock --workers 5",
            )),
            _ => None,
        };
        // The reason that it begins with is given only where it is true.
        let is_other = scenario == "tickets" && known.is_read_after_write;
        advice.map(|advice| advice.split_once(['；', ';']).filter(|_| is_other).map_or(advice, |(_, cure)| cure.trim()))
    }

    /// A duration of `us` microseconds in the unit that reads best.
    pub(crate) fn duration(self, us: u64) -> String {
        match self {
            Language::En => duration(us),
            Language::Zh => zh_duration(us),
        }
    }

    /// Returns one of two wordings.
    pub(crate) fn pick<'a>(self, en: &'a str, zh: &'a str) -> &'a str {
        match self {
            Language::En => en,
            Language::Zh => zh,
        }
    }
}

/// Formats a duration of `us` microseconds in the most readable unit.
pub(crate) fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        // What would round to 1000.0 ms is a second.
        1_000..999_950 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

/// The same in Chinese.
fn zh_duration(us: u64) -> String {
    let text = duration(us);
    let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
    let unit = match unit {
        "µs" => "微秒",
        "ms" => "毫秒",
        _ => "秒",
    };
    format!("{number} {unit}")
}

/// A JSON error without the line and column that follow it: of a file of one line they say little.
fn without_place(error: &str) -> &str {
    error.split_once(" at line ").map_or(error, |(what, _)| what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locale_decides_by_its_language() {
        assert_eq!(Language::from_locale("zh_CN.UTF-8"), Language::Zh);
        assert_eq!(Language::from_locale("zh"), Language::Zh);
        assert_eq!(Language::from_locale("de_DE"), Language::En);
        assert_eq!(Language::from_locale(""), Language::En);
    }

    #[test]
    fn durations_read_well() {
        assert_eq!([999, 1_000, 999_949, 999_950].map(duration), ["999 µs", "1.0 ms", "999.9 ms", "1.00 s"]);
        assert_eq!([999, 1_000, 1_000_000].map(zh_duration), ["999 微秒", "1.0 毫秒", "1.00 秒"]);
    }
}
