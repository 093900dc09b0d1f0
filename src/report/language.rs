//! The languages of the report.

/// A language of the text report.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    /// English
    #[default]
    En,
    /// Chinese
    Zh,
}

impl Language {
    /// Returns the language of the environment.
    pub(crate) fn from_environment() -> Self {
        Self::from_locale(&locale("LC_MESSAGES"))
    }

    fn from_locale(locale: &str) -> Self {
        if locale.starts_with("zh") { Language::Zh } else { Language::En }
    }

    /// A duration of `us` microseconds in the unit that reads best.
    pub(crate) fn duration(self, us: u64) -> String {
        let said = duration(us);
        match self {
            Language::En => said,
            Language::Zh => said.replace("µs", "微秒").replace("ms", "毫秒").replace(" s", " 秒"),
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

/// Returns the locale of the environment for a category: the first of `LC_ALL`, the category and `LANG` that is set.
pub(super) fn locale(category: &str) -> String {
    let values = ["LC_ALL", category, "LANG"].into_iter().filter_map(std::env::var_os);
    values.into_iter().find(|value| !value.is_empty()).unwrap_or_default().to_string_lossy().into_owned()
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

/// Returns a count and its noun in English: `1 ticket`, `2 tickets`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// Returns how many of all things, in English: `all 3 tickets`, `1 of 3 tickets`.
pub(crate) fn of_all(count: u64, all: u64, one: &str) -> String {
    match (count, all) {
        (0, 0) => format!("no {one}s"),
        (0, all) => format!("none of {}", counted(all, one)),
        (1, 1) => format!("the only {one}"),
        (2, 2) => format!("both {one}s"),
        (count, all) if count == all => format!("all {all} {one}s"),
        (count, all) => format!("{count} of {}", counted(all, one)),
    }
}

/// Returns to how many of all things something was done, in Chinese: `全部卖出`, `卖出 1 张`.
pub(crate) fn of_all_zh(count: u64, all: u64, done: &str, unit: &str) -> String {
    if count == all && all > 0 { format!("全部{done}") } else { format!("{done} {count} {unit}") }
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
    fn one_is_counted_in_the_singular() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "ticket")), ["0 tickets", "1 ticket", "2 tickets"]);
    }

    #[test]
    fn parts_are_told_from_all() {
        let said = [(0, 0), (0, 1), (1, 1), (2, 2), (2, 3), (3, 3)].map(|(count, all)| of_all(count, all, "item"));
        let wanted = ["no items", "none of 1 item", "the only item", "both items", "2 of 3 items", "all 3 items"];
        assert_eq!(said, wanted);
        let said = [(0, 0), (1, 1), (2, 3)].map(|(count, all)| of_all_zh(count, all, "卖出", "张"));
        assert_eq!(said, ["卖出 0 张", "全部卖出", "卖出 2 张"]);
    }

    #[test]
    fn durations_read_well() {
        assert_eq!([999, 1_000, 999_949, 999_950].map(duration), ["999 µs", "1.0 ms", "999.9 ms", "1.00 s"]);
        assert_eq!([999, 1_000, 1_000_000].map(|us| Language::Zh.duration(us)), ["999 微秒", "1.0 毫秒", "1.00 秒"]);
    }
}
